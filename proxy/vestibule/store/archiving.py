"""Puts closed days where they are asked for fast: from ``cells``, a partition a day, into ``archive``, one a year.

A day is copied, then noted in ``archived_days``, and goes from ``cells`` only ``KEPT`` later. Readers take a day from
one table alone, by that note, which they may know ``REMEMBERED`` seconds late: in both tables they find the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vestibule.store.files import query
from vestibule.store.layout import Layout
from vestibule.store.releasing import partition

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

REMEMBERED = 10.0
KEPT = timedelta(days=1)
AT_ONCE = 10
"""Days that are archived in one go: a store that was just updated may have years of them, and others wait."""

_TOGETHER: dict[str, Any] = {
    "insert_deduplicate": 1,
    "max_threads": 1,
    "max_insert_threads": 1,
    "max_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
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


class Archive:
    """Used by one thread, as the store is."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client, self._layout = client, layout
        self._live: dict[str, tuple[float, Sequence[date]]] = {}

    def live(self, site: str) -> Sequence[date]:
        """The days that are to be read from ``cells``, ascending."""
        read, days = self._live.get(site, (0.0, ()))
        if site not in self._live or time.monotonic() - read >= REMEMBERED:
            days = self._days(query("live_days"), {"site": site})
            self._live[site] = (time.monotonic(), days)
        return days

    def changed(self) -> None:
        """Something was released or closed."""
        self._live.clear()

    def take(self, site: str, now: datetime) -> bool:
        """Archive days that are closed, and remove from ``cells`` what was archived long enough ago; return whether
        there may be more to do."""
        self.changed()
        closed = set(self._days(_CLOSED, {"site": site}))
        waiting = [day for day in self.live(site) if day in closed]
        copied = sum(self._copy(site, day, now) for day in waiting[:AT_ONCE])
        for day in self._days(_OLD, {"site": site, "before": now.astimezone(UTC) - KEPT})[:AT_ONCE]:
            self._client.command(self._layout.change("cells", f"DROP PARTITION {partition(site, day)}"))
        self.changed()
        return copied > 0 and len(waiting) > AT_ONCE

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
