"""Access logs as hits: combined, common, nginx JSON, Caddy JSON and W3C extended lines, plain or compressed.

A log has none of the headers by which a browser tells a page from a part of it, and mostly no content type: paths and
answers decide. Lines of parts of pages are told apart early, since most lines are that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from vestibule.recorder.logs.clf import Lines
from vestibule.recorder.logs.fields import Parser, UnreadableError
from vestibule.recorder.logs.files import MAX_LINE, LogFile
from vestibule.recorder.logs.objects import Json, loads
from vestibule.recorder.logs.w3c import W3C

__all__ = ["FORMATS", "MAX_LINE", "LogFile", "Parser", "UnreadableError", "detect", "parser"]

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
            entry = loads(text)
        except UnreadableError:
            return None
        return "caddy" if isinstance(entry.get("request"), dict) or "logger" in entry else "nginx"
    for name in ("combined", "common"):
        try:
            FORMATS[name]("").parse(text)
        except UnreadableError:
            continue
        return name
    return None
