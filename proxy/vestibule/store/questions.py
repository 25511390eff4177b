"""What can be asked of the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

Where = tuple[str, str]
"""A dimension and a value, see ``asking``."""

WEEKDAYS = 7
YEAR = 52 * WEEKDAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Facts of one kind. Days are the site's, both ends included. where: narrows to one value of another dimension."""

    site: str
    kind: str
    start: date
    end: date
    where: Where | None = None

    def earlier(self, *, year: bool = False) -> Self:
        """The same of the period of the same length just before, or 52 weeks before, where weekdays are the same."""
        back = timedelta(days=YEAR if year else (self.end - self.start).days + 1)
        return replace(self, start=self.start - back, end=self.end - back)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown(Question):
    """Values of a dimension, by falling count.

    limit: rows at most. level: ask a tree at a level counted from its root (0 is the top: ``Chrome`` instead of
    ``Chrome 131``); not together with ``where``.
    """

    by: str
    limit: int = 100
    level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeries(Question):
    """Facts over time. interval: minute, hour or day. timezone: the site's, an IANA name."""

    interval: str
    timezone: str
