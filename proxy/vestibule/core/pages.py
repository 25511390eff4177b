"""Paths as counted pages: one name a page, and nothing in it that names a person.

A path loses its query, path parameters and trailing slash; it is decoded, lower-cased and bounded; e-mail addresses,
UUIDs, long numbers and tokens become ``:email``, ``:uuid``, ``:id`` and ``:token``. What slips through is guarded once
more at release: a page that fewer than ``k`` visitors saw folds into its folder.

A folder is written ``/blog/*``. A literal asterisk in a path is escaped, so that no visitor can forge a folder.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from vestibule.core.memo import Memo

MAX_PATH = 2048
"""Characters of a path that are looked at; what follows is cut."""
MAX_SEGMENTS = 8
"""Segments kept; deeper ones become one ``…``."""
MAX_SEGMENT = 80
"""Characters kept of one segment; a longer one ends in ``…``."""
MAX_SCRUBBED = 4 * MAX_SEGMENT
"""Characters of a segment that are searched for names of persons; the rest is cut unread."""
MAX_TEXT = 64
"""Characters kept of a free text: the name of a campaign, an event, a pixel."""
MAX_FOLDERS = 3
"""Ancestors of a page. They are counted from the top, so that each folder holds all that lies below it."""
MAX_KNOWN = 10_000
"""Paths that a folder remembers."""

_EMAIL = re.compile(r"[^\s@]+(?:@|%40)[^\s@]+\.[^\W\d_][\w-]+", re.IGNORECASE)
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])", re.I)
_DATE = re.compile(r"(?:19|20)\d\d[-._]?(?:0[1-9]|1[0-2])(?:[-._]?(?:0[1-9]|[12]\d|3[01]))?")
_NUMERIC = re.compile(r"\+?\d[\d\s().,+_-]{4,}\d")
_LONG_NUMBER = re.compile(r"\d{5,}")
_RUN = re.compile(r"[A-Za-z0-9]{10,}")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_BASE64 = re.compile(r"[A-Za-z0-9_+=~.-]{20,}")
_INDEX = re.compile(r"(?:index|default|home)\.(?:html?|xhtml|php\d?|aspx?|jsp|cgi)")
_PLAIN = re.compile(r"[a-z]{1,19}(?:[-_.][a-z]{1,19}){0,11}")
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def scrub(text: str) -> str:
    """Return ``text`` with e-mail addresses, UUIDs, long numbers and tokens replaced by what they are.

    The order matters: an address or a UUID would lose its digits to the rule for numbers. Dates stay.
    """
    if _PLAIN.fullmatch(text):
        return text
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(":email", text)
    if len(text) >= 32:
        text = _UUID.sub(":uuid", text)
    if len(text) >= 10:
        if text.startswith("eyJ") and _BASE64.fullmatch(text):
            return ":token"
        text = _RUN.sub(_token_or_word, text)
    if _NUMERIC.fullmatch(text) and not _DATE.fullmatch(text) and sum(map(str.isdigit, text)) >= 6:
        return ":id"
    if _LONG_NUMBER.search(text):
        text = _LONG_NUMBER.sub(_id_or_date, text)
    return text


def _token_or_word(match: re.Match[str]) -> str:
    """Tell a random run of letters and digits from words by how short its words are."""
    run = match[0]
    if run.isdigit():
        return run
    words = len(_WORD.findall(run))
    mean = len(run) / words
    if run.isalpha():
        # Words in CamelCase are rarely shorter than three letters on the mean; random letters rarely longer.
        return ":token" if len(run) >= 16 and mean < 2.6 else run
    if len(run) >= 32 or mean < (2.3 if len(run) < 16 else 3.2):
        return ":token"
    return run


def _id_or_date(match: re.Match[str]) -> str:
    return match[0] if len(match[0]) in (6, 8) and _DATE.fullmatch(match[0]) else ":id"


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Return a free text fit for counting: scrubbed, one line, lower case, at most ``limit`` characters."""
    text = " ".join(text[: 4 * limit].split())
    if not text.isascii() or not text.isprintable():
        text = _printable(text)
    return _shorten(scrub(text).lower(), limit)


def _printable(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    return "".join(letter for letter in text if unicodedata.category(letter) not in _UNPRINTABLE)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def extension(path: str) -> str:
    """Return the extension of a path's last segment, in lower case and without its dot, or an empty text."""
    _, dot, last = path[-16:].lower().rpartition(".")
    return last if dot and len(last) <= 8 and last.isascii() and last.isalnum() else ""


def folders(page: str) -> tuple[str, ...]:
    """Return the folders that a page (or a folder) lies in, the nearest first: at most three, the root left out.

    ``/blog/2026/x`` lies in ``/blog/2026/*`` and ``/blog/*``.
    """
    segments = page.split("/")
    if segments[-1] == "*":
        segments.pop()
    depth = min(len(segments) - 2, MAX_FOLDERS)
    return tuple("/".join(segments[: level + 1]) + "/*" for level in range(depth, 0, -1))


class Folder:
    """Folds paths into pages.

    patterns: what the site calls its pages. ``*`` stands for one segment and ``**`` for all that follow; the rest of a
    longer path is kept: with ``{"/app/deals/*": "/app/deals/:id"}``, ``/app/deals/7/edit`` becomes
    ``/app/deals/:id/edit``. A ``*`` in the replacement keeps what the same star matched. The first that matches counts.
    """

    def __init__(self, patterns: Mapping[str, str] | None = None) -> None:
        self._patterns = tuple((_split(pattern), _split(page)) for pattern, page in (patterns or {}).items())
        self.fold = Memo(self._fold, MAX_KNOWN)
        """Return the page of a request path. Never raises: what is no path at all is ``/``."""

    def _fold(self, path: str) -> str:
        path = path[:MAX_PATH].partition("?")[0].partition("#")[0]
        if not path.isascii():
            path = _as_utf8(path)
        segments = _segments(path)
        done, rest = self._match(segments)
        named = [*done, *map(_name, rest[: MAX_SEGMENTS + 1])]
        if named and rest and _INDEX.fullmatch(named[-1]):
            named.pop()
        if len(named) > MAX_SEGMENTS:
            named[MAX_SEGMENTS:] = ["…"]
        return "/" + "/".join(named)

    def _match(self, segments: list[str]) -> tuple[list[str], list[str]]:
        """Return the segments that a pattern named and those that are left."""
        for pattern, page in self._patterns:
            stars: list[str] = []
            taken = _taken(pattern, segments, stars)
            if taken is not None:
                kept = iter(stars)
                named = [_name(next(kept, "")) if segment == "*" else segment for segment in page]
                return [segment for segment in named if segment], segments[taken:]
        return [], segments


def _as_utf8(text: str) -> str:
    """Undo that raw bytes of a request line were read as ISO 8859-1, where they were UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _split(path: str) -> tuple[str, ...]:
    return tuple(segment for segment in path.split("/") if segment)


def _taken(pattern: Sequence[str], segments: Sequence[str], stars: list[str]) -> int | None:
    """Return how many segments the pattern covers, or None where it doesn't match."""
    for index, wanted in enumerate(pattern):
        if wanted == "**":
            return len(segments)
        if index >= len(segments):
            return None
        if wanted == "*":
            stars.append(segments[index])
        elif wanted.lower() != segments[index].lower():
            return None
    return len(pattern)


def _segments(path: str) -> list[str]:
    """Split and decode a path (RFC 3986, sections 3.3 and 5.2.4): no empty segment, no dots, no parameters."""
    segments: list[str] = []
    for raw in path.split("/"):
        segment = raw.partition(";")[0]
        if "%" in segment:
            segment = unquote(segment)
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return segments


def _name(segment: str) -> str:
    if _PLAIN.fullmatch(segment):
        return segment
    if not segment.isascii() or not segment.isprintable():
        segment = _printable(segment)
    segment = _shorten(scrub(segment[:MAX_SCRUBBED]).lower(), MAX_SEGMENT)
    return segment.replace("/", "%2f").replace("*", "%2a").strip() or "…"
