"""Puts closed days where they are asked for fast: from ``cells``, a partition a day, into ``archive``, one a year.

A day is copied, then noted in ``archived_days``, and goes from ``cells`` only ``KEPT`` later. Readers take a day from
one table alone, by that note, which they may know ``REMEMBERED`` seconds late: in both tables they find the same.

Months that are over are summed up from there. A sum counts as long as it is of all archived days of its month; where a
day came late another sum is made, and the old one goes ``KEPT`` after that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vestibule.store.files import query
from vestibule.store.layout import Layout, literal
from vestibule.store.releasing import partition

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

REMEMBERED = 10.0
SUMS_REMEMBERED = 300.0
"""Seconds, as long as no day is archived: sums go by age alone."""
KEPT = timedelta(days=1)
AT_ONCE = 10
"""Days that are archived in one go: a store that was just updated may have years of them, and others wait."""

MOST_SUMMED = 10_000_000
"""Rows of a month's days up to which it is summed up, in memory; a larger one stays days."""

_TOGETHER: dict[str, Any] = {
    "insert_deduplicate": 1,
    "max_threads": 1,
    "max_insert_threads": 1,
    "max_block_size": MOST_SUMMED,
    "min_insert_block_size_rows": MOST_SUMMED,
    "min_insert_block_size_bytes": 0,
}
_CLOSED = "SELECT DISTINCT day FROM closed_days WHERE site = {site:String} AND state = 'done'"
_HAS = (
    "SELECT (SELECT count() FROM archive WHERE site = {site:String} AND day = {day:Date})"
    " = (SELECT count() FROM cells WHERE site = {site:String} AND day = {day:Date})"
)
_OLD = (
    "SELECT DISTINCT day FROM cells WHERE site = {site:String} AND day IN"
    " (SELECT day FROM archived_days WHERE site = {site:String}"
    " GROUP BY day HAVING max(time) < {before:DateTime('UTC')})"
    " ORDER BY day"
)


_MONTH = "site = {site:String} AND day BETWEEN {month:Date} AND toLastDayOfMonth({month:Date})"
_NOTED = "day IN (SELECT day FROM archived_days WHERE site = {site:String})"
_IN_DAYS = f"SELECT count(), sum(count) FROM archive WHERE {_MONTH} AND {_NOTED}"  # noqa: S608
_IN_SUM = (
    "SELECT sum(count) FROM archive_months WHERE site = {site:String} AND month = {month:Date} AND days = {days:UInt8}"
)
_FIRST = "SELECT min(day) FROM archive WHERE site = {site:String}"
_STALE = (
    "SELECT DISTINCT month, days FROM archive_months WHERE site = {site:String} AND a = '' AND b = ''"
    " AND (month, days) NOT IN {kept:Array(Tuple(Date, UInt8))} AND month IN"
    " (SELECT month FROM archived_months WHERE site = {site:String}"
    " AND (month, days) IN {kept:Array(Tuple(Date, UInt8))}"
    " GROUP BY month HAVING max(time) < {before:DateTime('UTC')})"
)

Month = tuple[date, int]
"""A month's first day, and of how many days its sum is."""


@dataclass(frozen=True, slots=True)
class Lying:
    """Where a site's days are. live: those that are to be read from ``cells``, ascending. months: those that are summed
    up, ascending. archived: how many are."""

    live: tuple[date, ...] = ()
    months: tuple[Month, ...] = ()
    archived: int = 0

    def whole(self, start: date, end: date) -> Sequence[Month]:
        """The longest row of summed months, one right after the other, from ``start`` to ``end``; none where it is a
        single one, which is not worth a table more to ask."""
        longest: list[Month] = []
        row: list[Month] = []
        for month in self.months:
            if month[0] < start or following(month[0]) > end + timedelta(days=1):
                continue
            row = [*row, month] if row and following(row[-1][0]) == month[0] else [month]
            longest = max(longest, row, key=len)
        return longest if len(longest) > 1 else ()


def following(month: date) -> date:
    """The first day of the next month. month: any day of one."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


class Archive:
    """Used by one thread, as the store is."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client, self._layout = client, layout
        self._lying: dict[str, tuple[float, Lying]] = {}
        self._summed: dict[str, tuple[float, int, Mapping[Month, bool]]] = {}

    def lying(self, site: str) -> Lying:
        """Where the site's days are to be read."""
        read, found = self._lying.get(site, (0.0, Lying()))
        if site not in self._lying or time.monotonic() - read >= REMEMBERED:
            ((live, archived),) = self._client.query(query("live_days"), {"site": site}).result_rows
            months = self._months(site, archived)
            summed = tuple(month for month in self._settled(months, live) if months[month])
            found = Lying(tuple(live), summed, archived)
            self._lying[site] = (time.monotonic(), found)
        return found

    def changed(self) -> None:
        """Something was released or closed."""
        self._lying.clear()

    def take(self, site: str, now: datetime) -> bool:
        """Archive days that are closed, and remove from ``cells`` what was archived long enough ago; then sum up months
        that are over. Return whether there may be more to do."""
        self.changed()
        closed = set(self._days(_CLOSED, {"site": site}))
        waiting = [day for day in self.lying(site).live if day in closed]
        copied = sum(self._copy(site, day, now) for day in waiting[:AT_ONCE])
        before = now.astimezone(UTC) - KEPT
        for day in self._days(_OLD, {"site": site, "before": before})[:AT_ONCE]:
            self._client.command(self._layout.change("cells", f"DROP PARTITION {partition(site, day)}"))
        self.changed()
        if copied > 0 and len(waiting) > AT_ONCE:
            return True
        return self._sum(site, now, before)

    def _months(self, site: str, archived: int) -> Mapping[Month, bool]:
        """Months of archived days, ascending, and whether the sum of just these days is there. archived: how many days
        are; as long as they are as many, the answer is the same."""
        read, known, months = self._summed.get(site, (0.0, -1, {}))
        if known != archived or time.monotonic() - read >= SUMS_REMEMBERED:
            found = self._client.query(query("archived_months"), {"site": site}).result_rows
            months = {(month, days): bool(summed) for month, days, summed in found}
            self._summed[site] = (time.monotonic(), archived, months)
        return months

    def _settled(self, months: Iterable[Month], live: Iterable[date]) -> list[Month]:
        """Those of which no day is yet to come."""
        open_ = {day.replace(day=1) for day in live}
        return [month for month in months if month[0] not in open_]

    def _sum(self, site: str, now: datetime, before: datetime) -> bool:
        """Sum up a month that is over, the newest first; return whether there was one. Remove sums that others took
        the place of."""
        self._summed.clear()
        live = self.lying(site).live
        _, _, months = self._summed[site]
        ((first,),) = self._client.query(_FIRST, {"site": site}).result_rows
        for month, days in reversed(self._settled(months, live)):
            # Of a month that began before the first day there is, days may have been forgotten already.
            wanted = not months[month, days] and month >= first and following(month) < now.date()
            if wanted and self._sum_up(site, month, days, now):
                self.changed()
                self._summed.clear()
                return True
        kept = [month for month, summed in months.items() if summed]
        asked = {"site": site, "kept": kept, "before": before}
        for month, days in self._client.query(_STALE, asked).result_rows if kept else ():
            where = f"({literal(site)}, {literal(month.isoformat())}, {int(days)})"
            self._client.command(self._layout.change("archive_months", f"DROP PARTITION {where}"))
        return False

    def _sum_up(self, site: str, month: date, days: int, now: datetime) -> bool:
        asked = {"site": site, "month": month, "days": days}
        ((rows, facts),) = self._client.query(_IN_DAYS, asked).result_rows
        if not 0 < rows <= MOST_SUMMED:
            return False
        token = f"month/{site}/{month}/{days}"
        self._client.command(query("archive_month"), asked, settings={**_TOGETHER, "insert_deduplication_token": token})
        ((summed,),) = self._client.query(_IN_SUM, asked).result_rows
        if summed == facts:
            settings = {"insert_deduplicate": 1, "insert_deduplication_token": token}
            columns: list[list[Any]] = [[site], [month], [days], [now]]
            names = ["site", "month", "days", "time"]
            self._client.insert("archived_months", columns, column_names=names, column_oriented=True, settings=settings)
        return bool(summed == facts)

    def _copy(self, site: str, day: date, now: datetime) -> bool:
        asked = {"site": site, "day": day}
        token = f"archive/{site}/{day}"
        self._client.command(query("archive"), asked, settings={**_TOGETHER, "insert_deduplication_token": token})
        ((whole,),) = self._client.query(_HAS, asked).result_rows
        # A day that is not there as a whole goes on to be read from `cells`.
        if whole:
            settings = {"insert_deduplicate": 1, "insert_deduplication_token": token}
            columns: list[list[Any]] = [[site], [day], [now]]
            self._client.insert(
                "archived_days", columns, column_names=["site", "day", "time"], column_oriented=True, settings=settings
            )
        return bool(whole)

    def _days(self, sql: str, asked: dict[str, Any]) -> list[date]:
        return [day for (day,) in self._client.query(sql, asked).result_rows]
