"""Spans of days that the page can show. Pure: today is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

LONGEST = 1200
"""Days that one question may span."""

DEFAULT = "7d"
NAMES = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "7 days",
    "28d": "28 days",
    "30d": "30 days",
    "month": "This month",
    "last-month": "Last month",
    "12m": "12 months",
}


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of the site, ``start`` and ``end`` both included. ``name`` is a key of ``NAMES`` or ``custom``."""

    name: str
    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    @property
    def interval(self) -> str:
        """The graph's step."""
        return "hour" if self.days <= 2 else "day"

    def includes(self, day: date) -> bool:
        return self.start <= day <= self.end

    def before(self) -> Period:
        """Return the span of the same length that ends where this one starts."""
        return Period("custom", self.start - timedelta(days=self.days), self.start - timedelta(days=1))

    def after(self) -> Period:
        return Period("custom", self.end + timedelta(days=1), self.end + timedelta(days=self.days))


def named(name: str, today: date) -> Period | None:
    """Return the span of a name of ``NAMES`` as seen today; None where there is no such name."""
    yesterday = today - timedelta(days=1)
    first = today.replace(day=1)
    match name:
        case "today":
            return Period(name, today, today)
        case "yesterday":
            return Period(name, yesterday, yesterday)
        case "7d" | "28d" | "30d":
            return Period(name, today - timedelta(days=int(name[:-1]) - 1), today)
        case "month":
            return Period(name, first, today)
        case "last-month":
            last = first - timedelta(days=1)
            return Period(name, last.replace(day=1), last)
        case "12m":
            return Period(name, _year_before(first), today)
    return None


def between(start: str, end: str, today: date) -> Period | None:
    """Return a span of ISO dates as given, in either order, cut at today; None where it can't be read, lies wholly
    ahead or is longer than ``LONGEST``."""
    try:
        one, other = sorted((date.fromisoformat(start), date.fromisoformat(end)))
    except ValueError:
        return None
    other = min(other, today)
    if one > other or (other - one).days >= LONGEST or one.year < 2000:
        return None
    return Period("custom", one, other)


def describe(period: Period) -> str:
    """Return the span in words: ``Sat 22 Nov 2026``, ``3 – 9 Nov 2026``."""
    one, other = period.start, period.end
    if one == other:
        return f"{one:%a} {one.day} {one:%b %Y}"
    if one.year != other.year:
        return f"{one.day} {one:%b %Y} – {other.day} {other:%b %Y}"
    if one.month != other.month:
        return f"{one.day} {one:%b} – {other.day} {other:%b %Y}"
    return f"{one.day} – {other.day} {other:%b %Y}"


def _year_before(first: date) -> date:
    """Return the first day of the month eleven months before, so that twelve months are shown."""
    month = first.month % 12 + 1
    return date(first.year if month == 1 else first.year - 1, month, 1)
