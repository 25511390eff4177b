"""The values that settings take: how they are written, and what they become."""

from __future__ import annotations

import ipaddress
import re
from datetime import date
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from vestibule.core import contrast, signatures

DAY = 86400
MONTH = 365.25 / 12 * DAY
YEAR = round(365.25 * DAY)
_UNITS = {
    **dict.fromkeys(("s", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400.0),
    **dict.fromkeys(("month", "months"), MONTH),
    **dict.fromkeys(("y", "year", "years"), 365.25 * 86400.0),
}
_DURATION = r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)"
_SIZES = {"b": 1, "": 1, "kb": 1000, "kib": 1024, "mb": 10**6, "mib": 1 << 20, "gb": 10**9, "gib": 1 << 30}
_UNIX_PATH = 100
"""Bytes of a Unix socket's path that every system takes."""
_SIZE = r"(\d+)\s*([A-Za-z]*)"


def _duration(value: object) -> object:
    """Seconds from ``180d``, ``15m`` (minutes), ``25 months`` (30.44 days each), ``1h``."""
    if isinstance(value, str):
        match = re.fullmatch(_DURATION, value.strip())
        if match is None or match[2].lower() not in _UNITS:
            raise ValueError("must be a duration such as 30s, 15m, 12h, 180d or 25 months")
        return round(float(match[1]) * _UNITS[match[2].lower()])
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a duration such as 30s, 15m, 12h, 180d or 25 months")
    raise ValueError(f"needs a unit: {value}s, {value}m, {value}h or {value}d")


def _size(value: object) -> object:
    """Bytes from ``64KiB``, ``10 MB`` or a plain number."""
    if isinstance(value, str):
        match = re.fullmatch(_SIZE, value.strip())
        if match is None or match[2].lower() not in _SIZES:
            raise ValueError("must be a number of bytes such as 65536, 64KiB or 10MB")
        return int(match[1]) * _SIZES[match[2].lower()]
    return value


def _text(value: object) -> object:
    """Text; an unquoted YAML date (``2024-10-29``) is taken as it is written."""
    return value.isoformat() if isinstance(value, date) else value


_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


def host_name(value: str) -> str:
    """A host name or bracketed IPv6 address, in small letters of ASCII. Raises ValueError."""
    host = value.strip().lower()
    if host.startswith("[") and host.endswith("]"):
        ipaddress.IPv6Address(host[1:-1])
        return host
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("must be a host name such as www.example.com") from None
    if "/" in host or ":" in host or not _HOST.fullmatch(host) or len(host) > 253:
        raise ValueError("must be a host name such as www.example.com, without scheme, port or path")
    return host.rstrip(".")


def list_file(name: str) -> str:
    """A file in the configuration folder, which is watched and kept as a whole."""
    path = Path(name)
    if not path.name or path.is_absolute() or ".." in path.parts or path.suffix in (".yaml", ".yml"):
        raise ValueError("must be a file in the configuration folder, such as lists/own.txt")
    return name


def _listen(value: str) -> str:
    """``HOST:PORT`` (an IPv6 host in brackets)."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535 or (":" in host and host[0] != "["):
        raise ValueError("must be an address and port such as 127.0.0.1:8080 or [::1]:8080")
    return value


def _public_listen(value: str) -> str:
    """``HOST:PORT``, or ``unix:/PATH``."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/") or path.endswith("/") or len(path.encode()) > _UNIX_PATH:
            raise ValueError("must be an absolute path after unix:, such as unix:/run/vestibule/site.sock")
        return value
    return _listen(value)


def _access_log(value: object) -> object:
    """``off``, ``stdout``, or an absolute path. YAML 1.1's ``off``, which is false, is meant so, too."""
    if value is False:
        return "off"
    if isinstance(value, str) and (value in ("off", "stdout") or (value.startswith("/") and not value.endswith("/"))):
        return value
    raise ValueError("must be off, stdout, or an absolute path such as /var/log/vestibule/access.jsonl")


def _peer(value: str) -> str:
    """A network, or ``unix:`` for whoever connects to a Unix socket."""
    return value if value == "unix:" else _network(value)


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError:
        raise ValueError("must be an address or network such as 127.0.0.1/32 or 2001:db8::/32") from None


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("must be a time zone such as Europe/Berlin or UTC") from None
    return value


def _upstream(value: str) -> str:
    if value.startswith("unix:"):
        if not value.removeprefix("unix:").startswith("/"):
            raise ValueError("must be an absolute path after unix:, such as unix:/run/site.sock")
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("must be http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be an origin without path or query: requests keep their own path")
    return value.rstrip("/")


def _frame_origin(value: str) -> str:
    if not value.startswith(("http://", "https://")) or re.search(r"[\s;,'\"*]", value):
        raise ValueError("must be http://HOST[:PORT] or https://HOST[:PORT]")
    return _upstream(value)


def _issuer(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be the provider's https:// address, as its own documents name it")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
        raise ValueError("must be an https:// address; http:// is for a provider on this machine")
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or value.startswith("//"):
        raise ValueError("must be a path that begins with /")
    return value


def _policy_url(value: str) -> str:
    if value.startswith("https://") or (value.startswith("/") and not value.startswith("//")):
        return value
    raise ValueError("must be a path of this site such as /privacy, or an https:// address")


def _store(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in ("chdb", "clickhouse"):
        raise ValueError("must be chdb:///PATH or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE")
    if scheme == "chdb":
        if not rest:
            raise ValueError("names no folder: chdb:///PATH")
        return f"chdb://{Path(rest).expanduser().absolute()}"
    if not urlsplit(value).hostname:
        raise ValueError("names no host: clickhouse://USER:PASSWORD@HOST:PORT/DATABASE")
    return value


def _cookie_name(value: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ValueError("must be a cookie name; * stands for any characters")
    return value


def _signature(value: str) -> str:
    fault = signatures.check(value)
    if fault is not None:
        raise ValueError(fault)
    return value


def _service_id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", value):
        raise ValueError("must be in kebab-case, such as google-tag-manager")
    return value


_FAMILY = r"[A-Za-z][A-Za-z0-9-]*(?: [A-Za-z][A-Za-z0-9-]*)*"
_FONT = rf"{_FAMILY}(?:, ?{_FAMILY})*"
_LANGUAGE = r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*"


def _colour(value: str) -> str:
    if contrast.COLOUR.fullmatch(value) is None:
        raise ValueError("must be a colour such as #1f4b99, in quotes")
    return value.lower()


def _font(value: str) -> str:
    if re.fullmatch(_FONT, value) is None:
        raise ValueError("must be names of fonts, such as Inter, Segoe UI, sans-serif")
    return value


def _language(value: str) -> str:
    if re.fullmatch(_LANGUAGE, value) is None:
        raise ValueError("must be a language such as en, de or pt-BR")
    return value


Zone = Annotated[str, AfterValidator(_zone)]
Origin = Annotated[str, AfterValidator(_upstream)]
Issuer = Annotated[str, AfterValidator(_issuer)]
FrameOrigin = Annotated[str, AfterValidator(_frame_origin)]
PolicyUrl = Annotated[str, AfterValidator(_policy_url)]
StoreUrl = Annotated[str, AfterValidator(_store)]
Duration = Annotated[int, BeforeValidator(_duration), Field(gt=0)]
Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Text = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=200)]
Host = Annotated[str, AfterValidator(host_name)]
Listen = Annotated[str, AfterValidator(_listen)]
PublicListen = Annotated[str, AfterValidator(_public_listen)]
AccessLog = Annotated[str, BeforeValidator(_access_log)]
Peer = Annotated[str, AfterValidator(_peer)]
ListFile = Annotated[str, AfterValidator(list_file)]
Network = Annotated[str, AfterValidator(_network)]
SitePath = Annotated[str, AfterValidator(_path)]
CookieName = Annotated[str, AfterValidator(_cookie_name)]
Signature = Annotated[str, AfterValidator(_signature)]
ServiceId = Annotated[str, AfterValidator(_service_id)]
Colour = Annotated[str, AfterValidator(_colour)]
Font = Annotated[str, Field(max_length=200), AfterValidator(_font)]
Language = Annotated[str, Field(max_length=35), AfterValidator(_language)]
LongText = Annotated[str, Field(min_length=1, max_length=2000)]
