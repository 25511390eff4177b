"""What log formats share: targets, times, escapes, columns by name, and why a line cannot be read."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from vestibule.core.forwarding import canonical_address, is_host
from vestibule.core.hits import storable
from vestibule.core.visit import Hit

MAX_DIGITS = 18
"""Digits of a number: it fits into 64 bits."""


class UnreadableError(ValueError):
    """A line that isn't of the log's format; the text says why, without the line."""


class Parser(Protocol):
    """Reads the lines of one log, one after the other."""

    name: str

    def parse(self, line: str) -> Hit | None:
        """Return the hit of a line, or None where the line tells of nothing that is counted (assets, directives).

        Raises UnreadableError."""


_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_SECONDS = {f":{number:02}": number for number in range(61)}
"""What stands where the seconds are; the 61st is a leap second."""
_CLF_TIME = re.compile(r"\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", re.ASCII)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))")
_ABSOLUTE = re.compile(r"[A-Za-z]+://([^/?#]*)(.*)", re.DOTALL)


def unescape(text: str) -> str:
    """Undo what Apache and nginx escape in quoted fields."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    if found[3] is not None:
        return found[3]
    code = int(found[1] or found[2], 16)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def field(text: str | None) -> str:
    return "" if text is None or text == "-" else unescape(text)


def target(target: str) -> tuple[str, str, str]:
    """Return host, path and query of a request target (RFC 9112, section 3.2). The host is empty where the target names
    none; one that it names is the one that was asked for, whatever the header says (3.2.2)."""
    named = ""
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise UnreadableError("no path in the request")
        # Whatever is no host is not the site's either, so that nothing stands in for it.
        named = host(absolute[1].rpartition("@")[2])
        if not named:
            raise UnreadableError("no host in the request")
        target = absolute[2] if absolute[2].startswith("/") else "/" + absolute[2]
    path, _, query = target.partition("?")
    return named, path, query


def address(text: str) -> str:
    """An address in its one spelling, as of requests that come live: without port, brackets and zone, IPv4 out of its
    IPv6 mapping. What is none stays as it is."""
    return text if _IPV4.fullmatch(text) else canonical_address(text) or text


def host(named: str | None) -> str:
    """The host that was asked for, empty where a line names none: nginx calls a server that has no name ``_``."""
    return named if named and is_host(named.encode("latin-1", "replace")) else ""


def signals(header: Callable[[str], str]) -> dict[str, Any]:
    """Return what other request headers tell. header: the value by its name, an empty text where the log has none."""
    objects = "gpc" if header("Sec-GPC") == "1" else "dnt" if header("DNT") == "1" else ""
    return {
        "fetch_dest": header("Sec-Fetch-Dest"),
        "fetch_mode": header("Sec-Fetch-Mode"),
        "fetch_site": header("Sec-Fetch-Site"),
        "fetch_user": header("Sec-Fetch-User"),
        "purpose": header("Sec-Purpose") or header("Purpose") or header("X-Moz"),
        "ch_ua": header("Sec-CH-UA"),
        "ch_platform": header("Sec-CH-UA-Platform"),
        "objects": objects,
    }


class Clock:
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
            return float(self._base + _SECONDS[text[17:20]])
        except KeyError:
            raise UnreadableError("no time") from None


def _clf_minute(text: str) -> int:
    # What int() takes beside digits, such as signs and blanks, is in no time.
    if _CLF_TIME.match(text) is None:
        raise UnreadableError("no time")
    try:
        moment = datetime(
            int(text[7:11]), _MONTHS[text[3:6]], int(text[0:2]), int(text[12:14]), int(text[15:17]), tzinfo=UTC
        )
        sign, hours, minutes = text[21], int(text[22:24]), int(text[24:26])
    except (KeyError, ValueError):
        raise UnreadableError("no time") from None
    offset = (hours * 60 + minutes) * (60 if sign == "+" else -60)
    return int(_kept(moment.timestamp() - offset))


def text(entry: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = entry.get(key)
        if value not in (None, "", "-"):
            return str(value)
    return ""


def number(entry: Mapping[str, Any], *keys: str, default: int | None = None) -> int:
    """A whole number of at most MAX_DIGITS digits, none below 0; ``default`` where there is none at all."""
    for key in keys:
        value = entry.get(key)
        if isinstance(value, str) and value.isdecimal():
            if len(value) > MAX_DIGITS:
                raise UnreadableError(f"{key} is no number")
            return int(value)
        if isinstance(value, (int, float)):
            if not 0 <= value < 10**MAX_DIGITS:
                raise UnreadableError(f"{key} is no number")
            return int(value)
    if default is None:
        raise UnreadableError(f"no {keys[0]}")
    return default


def time(stamp: str) -> float:
    """Seconds since the epoch (of thousandths too), or an ISO 8601 time; without a zone it is UTC."""
    try:
        seconds = float(stamp)
    except ValueError:
        return _kept(_iso(stamp))
    return _kept(seconds / 1000 if seconds > 1e11 else seconds)


def _iso(stamp: str) -> float:
    if stamp[4:5] == stamp[7:8] == "/":  # as Caddy writes it where its times are "wall"
        stamp = stamp.replace("/", "-", 2)
    try:
        moment = datetime.fromisoformat(stamp)
        # Years 1 and 9999 have days that are in no year elsewhere.
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        raise UnreadableError("no time") from None


def _kept(time: float) -> float:
    if not storable(time):
        raise UnreadableError("its time is out of bounds")
    return time
