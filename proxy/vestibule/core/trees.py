"""The trees of values: what a rare value folds into.

A parent can be told from the value alone (and the table of referrers), so that whoever has only stored values finds
the same parents as whoever counted them.
"""

from __future__ import annotations

from functools import partial

from vestibule.core import agents, networks, pages
from vestibule.core.memo import Memo
from vestibule.core.referrers import Referrers

MAX_KNOWN = 50_000
"""Lines remembered for each dimension."""
MAX_DIMENSIONS = 100
"""More than there are."""

_PAGES = frozenset({"page", "previous", "entry", "exit", "path"})
_VERSIONED = frozenset({"browser", "os"})


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
