"""The trees of values: what a rare value folds into.

A parent can be told from the value alone (and the table of referrers), so that whoever has only stored values finds
the same parents as whoever counted them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from vestibule.core import agents, networks, pages
from vestibule.core.memo import Memo
from vestibule.core.referrers import Referrers

MAX_KNOWN = 50_000
"""Lines remembered for each dimension."""
MAX_DIMENSIONS = 100
"""More than there are."""

DEEPEST = 3
"""The lowest level that a value can be at: it has at most as many ancestors."""
LEVELS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        # No hosts: one that no source is known of stands at the level of the sources, the others a level below.
        "referrer": {"group": 0, "source": 1, "page": DEEPEST},
        "browser": {"name": 0, "version": 1},
        "os": {"name": 0, "version": 1},
        "country": {"continent": 0, "country": 1},
        "language": {"language": 0, "region": 1},
        "status": {"class": 0, "status": 1},
    }
)
"""What levels of trees are called, by dimension. Those of pages are as deep as a site's folders, and have no names."""

_PAGES = frozenset({"page", "previous", "entry", "exit", "path"})
_VERSIONED = frozenset({"browser", "os"})


def level_of(dimension: str, text: str) -> int | None:
    """Return the level of a dimension's tree that is told by its number or name, or None where there is none."""
    named = LEVELS.get(dimension, {}).get(text)
    if named is None and text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= DEEPEST:
        return int(text)
    return named


def levels_told(dimension: str) -> str:
    """Return what ``level_of`` takes, for whoever told something else."""
    named = LEVELS.get(dimension)
    return f"a number from 0 to {DEEPEST}" + (f", or one of {', '.join(named)}" if named else "")


class Trees:
    """Answers for the ancestors of any value of any dimension."""

    def __init__(self, referrers: Referrers) -> None:
        self.referrers = referrers
        self.lines: Memo[str, Memo[str, tuple[str, ...]]] = Memo(
            lambda dimension: Memo(partial(self._line, dimension), MAX_KNOWN), MAX_DIMENSIONS
        )
        """By dimension and value what ``line`` returns; asked a dozen times for each fact."""

    def line(self, dimension: str, value: str) -> tuple[str, ...]:
        """Return a value followed by its ancestors, the nearest first; the root ``(rare)`` is left out."""
        return self.lines[dimension][value]

    def _line(self, dimension: str, value: str) -> tuple[str, ...]:
        return (value, *self.parents(dimension, value))

    def parents(self, dimension: str, value: str) -> tuple[str, ...]:
        """Return a value's ancestors, the nearest first: at most three."""
        if value.startswith("("):
            return ()
        if dimension in _PAGES:
            return pages.folders(value)
        if dimension == "referrer":
            return self.referrers.parents(value)
        if dimension in _VERSIONED:
            return agents.unversioned(value)
        if dimension == "network":
            return networks.supernet(value)
        if dimension == "country":
            return networks.continent(value)
        if dimension == "language":
            return (value.partition("-")[0],) if "-" in value else ()
        if dimension == "status":
            return (f"{value[0]}xx",) if value.isdigit() else ()
        if dimension == "timezone":
            return (value.partition("/")[0],) if "/" in value else ()
        return ()
