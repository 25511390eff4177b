"""Access logs as hits: combined, common, nginx JSON, Caddy JSON and W3C extended lines, plain or compressed.

A log has none of the headers by which a browser tells a page from a part of it, and mostly no content type: paths and
answers decide. Lines of parts of pages are told apart early, since most lines are that.
"""

from __future__ import annotations

import bz2
import calendar
import gzip
import io
import json
import lzma
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Protocol, cast
from urllib.parse import unquote

import zstandard

from vestibule.core.agents import UNRECORDED
from vestibule.core.visit import Hit, is_asset

MAX_LINE = 65_536
"""Characters of a line; a longer one is unreadable."""


class UnreadableError(ValueError):
    """A line that isn't of the log's format; the text says why, without the line."""


class Parser(Protocol):
    """Reads the lines of one log, one after the other."""

    name: str

    def parse(self, line: str) -> Hit | None:
        """Return the hit of a line, or None where the line tells of nothing that is counted (assets, directives).

        Raises UnreadableError."""


# -- lines -----------------------------------------------------------------------------------------------------------

_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))")


def _unescape(text: str) -> str:
    """Undo what Apache and nginx escape in quoted fields."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)) if found[1] or found[2] else found[3], text)


def _field(text: str | None) -> str:
    return "" if text is None or text == "-" else _unescape(text)


def _target(target: str) -> tuple[str, str]:
    """Return path and query of a request target (RFC 9112, section 3.2)."""
    if not target.startswith("/"):
        scheme, colon, rest = target.partition("://")
        if not colon or not scheme.isalpha():
            raise UnreadableError("no path in the request")
        target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("?")
    return path, query


class _Clock:
    """Reads ``10/Oct/2000:13:55:36 -0700``; lines of one minute share the work."""

    def __init__(self) -> None:
        self._minute = ""
        self._base = 0

    def __call__(self, text: str) -> float:
        minute = text[:17] + text[20:]
        if minute != self._minute:
            self._base = _clf_minute(text)
            self._minute = minute
        try:
            return float(self._base + int(text[18:20]))
        except ValueError:
            raise UnreadableError("no time") from None


def _clf_minute(text: str) -> int:
    try:
        day, month, year, hour, minute = (
            int(text[0:2]),
            _MONTHS[text[3:6]],
            int(text[7:11]),
            int(text[12:14]),
            int(text[15:17]),
        )
        sign, hours, minutes = text[21], int(text[22:24]), int(text[24:26])
    except (KeyError, ValueError, IndexError):
        raise UnreadableError("no time") from None
    offset = (hours * 60 + minutes) * (60 if sign == "+" else -60)
    return calendar.timegm((year, month, day, hour, minute, 0)) - offset


_COMMON = (
    r"(?:(?P<host>[\w.*-]+)(?::\d+)? )?(?P<address>[0-9A-Fa-f:.]+(?:%\w+)?|[\w.-]+)"
    r" \S+ (?:[^\s\[]\S*(?: [^\[\s]\S*){0,3})"
    r' \[(?P<time>[^\]]{26})\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<size>\d+|-)'
)
_QUOTED = r'"((?:[^"\\]|\\.)*)"'


class Lines:
    """Common Log Format, and combined: the same with referrer and user agent. A virtual host may come first."""

    def __init__(self, site: str, combined: bool) -> None:
        self.name = "combined" if combined else "common"
        self._site = site
        self._pattern = re.compile(_COMMON + (f" {_QUOTED} {_QUOTED}" if combined else r"\s*$"))
        self._clock = _Clock()

    def parse(self, line: str) -> Hit | None:
        match = self._pattern.match(line)
        if match is None:
            raise UnreadableError(f"not a line of the {self.name} format")
        host, address, time, request, status_text, size, *quoted = match.groups()
        method, _, rest = request.partition(" ")
        target, _, protocol = rest.rpartition(" ")
        if not protocol.startswith("HTTP/"):
            if not method.isalpha() or not rest.startswith("/"):
                raise UnreadableError("no HTTP request")
            target = rest
        path, query = _target(target)
        status = int(status_text)
        if is_asset(path, status):
            return None
        return Hit(
            site=self._site,
            time=self._clock(time),
            address=address,
            method=method,
            host=host or self._site,
            path=path,
            query=query,
            status=status,
            size=int(size) if size != "-" else 0,
            agent=_field(quoted[1]) if quoted else UNRECORDED,
            referrer=_field(quoted[0]) if quoted else "",
        )


class Json:
    """One JSON object a line: nginx with variables as keys, or Caddy's access log."""

    def __init__(self, site: str, caddy: bool) -> None:
        self.name = "caddy" if caddy else "nginx"
        self._site = site
        self._read = self._caddy if caddy else self._nginx
        self._clock = _Clock()

    def parse(self, line: str) -> Hit | None:
        try:
            entry = json.loads(line)
        except ValueError:
            raise UnreadableError("not JSON") from None
        if not isinstance(entry, dict):
            raise UnreadableError("not a JSON object")
        return self._read(entry)

    def _nginx(self, entry: dict[str, Any]) -> Hit | None:
        method, target = _text(entry, "request_method", "method"), _text(entry, "request_uri", "uri", "path")
        request = _text(entry, "request").split(" ")
        if not target and len(request) > 1:
            method, target = request[0], request[1]
        path, query = _target(target)
        status = _number(entry, "status")
        if is_asset(path, status):
            return None
        agent = entry.get("http_user_agent", entry.get("user_agent", UNRECORDED))
        return Hit(
            site=self._site,
            time=self._nginx_time(entry),
            address=_text(entry, "remote_addr", "client_ip", "remote_ip", "client"),
            method=method or "GET",
            host=_text(entry, "http_host", "host", "server_name", "vhost") or self._site,
            path=path,
            query=query or _text(entry, "args", "query_string"),
            status=status,
            content_type=_text(entry, "sent_http_content_type", "content_type"),
            size=_number(entry, "body_bytes_sent", "bytes_sent", "bytes", default=0),
            agent=_field(str(agent)),
            referrer=_text(entry, "http_referer", "http_referrer", "referer", "referrer"),
            language=_text(entry, "http_accept_language"),
            accept=_text(entry, "http_accept"),
            **_signals(lambda name: _text(entry, f"http_{name.lower().replace('-', '_')}")),
        )

    def _nginx_time(self, entry: Mapping[str, Any]) -> float:
        stamp = _text(entry, "msec", "time_iso8601", "@timestamp", "timestamp", "time", "ts", "time_local")
        if not stamp:
            raise UnreadableError("no time")
        if stamp[:1].isdigit() and stamp[2:3] == "/":
            return self._clock(stamp)
        return _time(stamp)

    def _caddy(self, entry: dict[str, Any]) -> Hit | None:
        request = entry.get("request")
        if not isinstance(request, dict):
            if "msg" in entry:
                return None
            raise UnreadableError("no request in the entry")
        path, query = _target(_text(request, "uri"))
        status = _number(entry, "status")
        if is_asset(path, status):
            return None
        headers, answered = _headers(request, "headers"), _headers(entry, "resp_headers")
        return Hit(
            site=self._site,
            time=_time(_text(entry, "ts")),
            address=_text(request, "client_ip", "remote_ip") or _text(request, "remote_addr").rpartition(":")[0],
            method=_text(request, "method") or "GET",
            host=_text(request, "host") or self._site,
            path=path,
            query=query,
            status=status,
            content_type=answered.get("content-type", ""),
            size=_number(entry, "size", default=0),
            agent=headers.get("user-agent", ""),
            language=headers.get("accept-language", ""),
            referrer=headers.get("referer", ""),
            accept=headers.get("accept", ""),
            **_signals(lambda name: headers.get(name.lower(), "")),
        )


def _signals(header: Callable[[str], str]) -> dict[str, Any]:
    """Return what other request headers tell, where a log has them."""
    objects = "gpc" if header("Sec-GPC") == "1" else "dnt" if header("DNT") == "1" else ""
    return {
        "fetch_dest": header("Sec-Fetch-Dest"),
        "fetch_mode": header("Sec-Fetch-Mode"),
        "fetch_site": header("Sec-Fetch-Site"),
        "fetch_user": header("Sec-Fetch-User"),
        "purpose": header("Sec-Purpose") or header("Purpose"),
        "ch_ua": header("Sec-CH-UA"),
        "ch_mobile": header("Sec-CH-UA-Mobile"),
        "ch_platform": header("Sec-CH-UA-Platform"),
        "objects": objects,
    }


def _text(entry: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = entry.get(key)
        if value not in (None, "", "-"):
            return str(value)
    return ""


def _number(entry: Mapping[str, Any], *keys: str, default: int | None = None) -> int:
    for key in keys:
        value = entry.get(key)
        if isinstance(value, (int, float)) or (isinstance(value, str) and value.isdecimal()):
            return int(value)
    if default is None:
        raise UnreadableError(f"no {keys[0]}")
    return default


def _headers(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    found = entry.get(key)
    if not isinstance(found, dict):
        return {}
    return {
        str(name).lower(): ", ".join(map(str, values)) if isinstance(values, list) else str(values)
        for name, values in found.items()
    }


def _time(stamp: str) -> float:
    """Seconds since the epoch (of thousandths too), or an ISO 8601 time; without a zone it is UTC."""
    try:
        seconds = float(stamp)
    except ValueError:
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            raise UnreadableError("no time") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017
        return moment.timestamp()
    if not 0 <= seconds < 1e14:
        raise UnreadableError("no time")
    return seconds / 1000 if seconds > 1e11 else seconds


class W3C:
    """W3C extended log format (WD-logfile-960323), as IIS and CloudFront write it: ``#Fields:`` names the columns."""

    name = "w3c"

    def __init__(self, site: str) -> None:
        self._site = site
        self._fields: tuple[str, ...] = ()
        self._tabs = False
        self._date = ""

    def parse(self, line: str) -> Hit | None:
        if line.startswith("#"):
            self._directive(line)
            return None
        if not self._fields:
            raise UnreadableError("no #Fields directive yet")
        text = line.rstrip("\r\n")
        columns = text.split("\t") if "\t" in text else text.split(" ")
        if len(columns) < len(self._fields):
            raise UnreadableError("fewer columns than #Fields names")
        entry = dict(zip(self._fields, columns, strict=False))
        path = _text(entry, "cs-uri-stem", "cs-uri")
        status = _number(entry, "sc-status")
        path, query = _target(path)
        if is_asset(path, status):
            return None
        agent = entry.get("cs(user-agent)", UNRECORDED)
        return Hit(
            site=self._site,
            time=self._time(entry),
            address=_text(entry, "c-ip"),
            method=_text(entry, "cs-method") or "GET",
            host=_text(entry, "x-host-header", "cs-host", "cs(host)") or self._site,
            path=path,
            query=query or _text(entry, "cs-uri-query"),
            status=status,
            content_type=_text(entry, "sc-content-type", "sc(content-type)"),
            size=_number(entry, "sc-bytes", default=0),
            agent=agent if agent == UNRECORDED else _spaced(agent),
            referrer=_spaced(_text(entry, "cs(referer)")),
            language=_spaced(_text(entry, "cs(accept-language)")),
        )

    def _directive(self, line: str) -> None:
        name, _, rest = line[1:].partition(":")
        if name.strip().lower() == "fields":
            self._fields = tuple(rest.lower().split())
        elif name.strip().lower() == "date":
            self._date = rest.strip()[:10]

    def _time(self, entry: Mapping[str, str]) -> float:
        day, time = _text(entry, "date") or self._date, _text(entry, "time")
        if not day or not time:
            raise UnreadableError("no time")
        return _time(f"{day}T{time}")


def _spaced(text: str) -> str:
    """Undo how these servers keep blanks out of a column: ``+``, or percent-encoding."""
    if text == "-":
        return ""
    if "%" in text:
        text = unquote(unquote(text))
    return text.replace("+", " ") if " " not in text else text


# -- formats ---------------------------------------------------------------------------------------------------------

FORMATS: Mapping[str, Callable[[str], Parser]] = MappingProxyType(
    {
        "combined": lambda site: Lines(site, combined=True),
        "common": lambda site: Lines(site, combined=False),
        "nginx": lambda site: Json(site, caddy=False),
        "caddy": lambda site: Json(site, caddy=True),
        "w3c": W3C,
    }
)
"""Formats by name; each takes the site's name, which is also the host where a line has none."""


def parser(name: str, site: str) -> Parser:
    """Return a parser by the name of its format. Raises ValueError where there is none."""
    try:
        return FORMATS[name](site)
    except KeyError:
        raise ValueError(f"unknown log format {name!r}: known are {', '.join(FORMATS)}") from None


def detect(line: str) -> str | None:
    """Return the name of the format that a log's line is of, or None. A log's first line decides most surely."""
    text = line.strip()
    if text.startswith("#"):
        directive = text[1:].partition(":")[0].strip().lower()
        return "w3c" if directive in ("version", "software", "fields", "date", "start-date", "remark") else None
    if text.startswith("{"):
        try:
            entry = json.loads(text)
        except ValueError:
            return None
        return "caddy" if isinstance(entry.get("request"), dict) or "logger" in entry else "nginx"
    for name in ("combined", "common"):
        try:
            FORMATS[name]("").parse(text)
        except UnreadableError:
            continue
        return name
    return None


# -- files -----------------------------------------------------------------------------------------------------------


class LogFile:
    """The lines of a log: plain, gzip, zstd, bzip2 or xz, told by content; ``-`` is the standard input.

    size: bytes of the file as it is on disk, 0 where unknown. position: bytes of it that were read, for progress.
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) == "-":
            self._raw: IO[bytes] = sys.stdin.buffer
            self._owned = False
            self.size = 0
        else:
            self._raw = Path(path).open("rb")  # noqa: SIM115 - closed by close()
            self._owned = True
            self.size = Path(path).stat().st_size
        self._counted = _Counted(self._raw)
        self._stream = _decompress(io.BufferedReader(self._counted, 1 << 16))

    @property
    def position(self) -> int:
        return self._counted.position

    def __iter__(self) -> Iterator[str]:
        """Yield lines without their ends. A line longer than MAX_LINE comes cut, and its rest is skipped.

        Raises ValueError where compressed data is broken; what came before has been yielded."""
        try:
            while line := self._stream.readline(MAX_LINE):
                if len(line) == MAX_LINE and not line.endswith(b"\n"):
                    self._skip()
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        except (EOFError, OSError, lzma.LZMAError, zstandard.ZstdError) as error:
            raise ValueError(f"the log ends in the middle of compressed data: {error}") from error

    def _skip(self) -> None:
        while (rest := self._stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass

    def close(self) -> None:
        if self._owned:
            self._raw.close()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Counted(io.RawIOBase):
    """Counts what passes."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read1(len(buffer)) if hasattr(self._raw, "read1") else self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


class _Zstd(io.RawIOBase):
    """Unpacks zstd frames (RFC 8878), one after the other. The library's own reader takes a frame that was cut for a
    whole one. 1 KiB is unpacked at a time, which is at most 32 MiB."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._packed = packed
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._unpack():
            pass
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _unpack(self) -> bool:
        """Unpack a little more; False at the end. Raises EOFError where that is within a frame."""
        packed = self._packed.read(1024)
        if not packed:
            if self._frame is not None:
                raise EOFError("a zstd frame is not complete")
            return False
        while packed:
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready += self._frame.decompress(packed)
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        return True


def _decompress(stream: io.BufferedReader) -> IO[bytes]:
    start = stream.peek(6)[:6]
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(_Zstd(stream), 1 << 16)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(stream)
    return stream
