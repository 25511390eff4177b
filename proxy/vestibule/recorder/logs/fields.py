"""What log formats share: targets, times, escapes, columns by name, and why a line cannot be read."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Protocol

from vestibule.core.visit import Hit


class UnreadableError(ValueError):
    """A line that isn't of the log's format; the text says why, without the line."""


class Parser(Protocol):
    """Reads the lines of one log, one after the other."""

    name: str

    def parse(self, line: str) -> Hit | None:
        """Return the hit of a line, or None where the line tells of nothing that is counted (assets, directives).

        Raises UnreadableError."""


_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))")


def unescape(text: str) -> str:
    """Undo what Apache and nginx escape in quoted fields."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)) if found[1] or found[2] else found[3], text)


def field(text: str | None) -> str:
    return "" if text is None or text == "-" else unescape(text)


def target(target: str) -> tuple[str, str]:
    """Return path and query of a request target (RFC 9112, section 3.2)."""
    if not target.startswith("/"):
        scheme, colon, rest = target.partition("://")
        if not colon or not scheme.isalpha():
            raise UnreadableError("no path in the request")
        target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("?")
    return path, query


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


def text(entry: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = entry.get(key)
        if value not in (None, "", "-"):
            return str(value)
    return ""


def number(entry: Mapping[str, Any], *keys: str, default: int | None = None) -> int:
    for key in keys:
        value = entry.get(key)
        if isinstance(value, (int, float)) or (isinstance(value, str) and value.isdecimal()):
            return int(value)
    if default is None:
        raise UnreadableError(f"no {keys[0]}")
    return default


def time(stamp: str) -> float:
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
