"""Kinds of facts and what is kept of each: which question can be asked, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vestibule.core.visit import DIMENSIONS as KINDS

INTERVALS = ("minute", "hour", "day")

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "os": "system",
        "timezone": "time zone",
        "previous": "page before",
        "entry": "entry page",
        "exit": "exit page",
        "referrer": "source",
    }
)
PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "view": "Views",
        "visit": "Visits",
        "client": "Screens and time zones",
        "error": "Errors",
        "file": "Downloads",
        "event": "Events",
        "outbound": "Outbound links",
        "pixel": "Pixels",
        "consent": "Choices",
        "asked": "Asked",
        "blocked": "Blocked requests",
        "bot": "Crawlers",
    }
)


def name_of(dimension: str) -> str:
    """Return what people call a dimension, in lower case."""
    return NAMES.get(dimension, dimension)


def keeps(kind: str, dimension: str) -> bool:
    return dimension in KINDS.get(kind, ())


DIMENSIONS: tuple[str, ...] = tuple(dict.fromkeys(dimension for group in KINDS.values() for dimension in group))

__all__ = ["DIMENSIONS", "INTERVALS", "KINDS", "NAMES", "PLURALS", "keeps", "name_of"]
