"""What happens to days once they are in the store: live snapshots, the close two hours after they end, the archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Set
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Protocol

from vestibule.recorder.keyring import Keyring, iso
from vestibule.recorder.plan import Plan
from vestibule.recorder.spool import Spool
from vestibule.recorder.spooling import SpoolThread
from vestibule.recorder.storing import StoreThread
from vestibule.store import Store

GRACE = timedelta(hours=2)
"""A day is closed so long after its end: facts of its last visits and of recorders that lag come until then."""
OLD = timedelta(hours=24)
"""Beyond the grace: only an import adds to a day that is over for longer."""
QUIET = 3600.0
"""Seconds without anything new after which such a day is closed by itself. Which days an import adds to is known to its
own recorder alone, and to none after it was killed: others see that the days grow, and it may be resumed meanwhile."""
_MIDNIGHT = clock_time()


class Changed(Protocol):
    """Whose ``changed`` are the days to which something was added since they were released, and ``refused`` how many
    cells came for days that were closed already; ``sent`` what the cells that were sent count, by day."""

    changed: set[date]
    refused: int
    sent: Counter[date]


class Days:
    """clock: seconds since the epoch; passed: seconds that pass at one pace. empty: sends everything that was counted
    to the store. importing: whether an import is adding to a day."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        keyring: Keyring,
        spool: SpoolThread,
        store: StoreThread,
        shipping: Changed,
        *,
        clock: Callable[[], float],
        passed: Callable[[], float],
        empty: Callable[[], Awaitable[None]],
        importing: Callable[[date], bool],
    ) -> None:
        self._plan, self._keyring, self._spool, self._store, self._shipping = plan, keyring, spool, store, shipping
        self._clock, self._passed, self._empty, self._importing = clock, passed, empty, importing
        self._over: dict[date, float] = {}
        self._grown: dict[date, tuple[int, float]] = {}
        """How many facts an old day's open cells count, and since when they are so many."""
        self.open = 0
        """How many days are open, as the store said last."""
        self.archived = 0.0
        self.snapshot_made = 0.0
        """When the open days were released last, and when archived, in seconds since the epoch; 0 if not yet."""

    async def resume(self) -> None:
        """Find out which days may have cells of ours from before. Raises StoreError."""
        site = self._plan().site
        self._shipping.changed.update(day for each, day in await self._store.do(Store.open_days) if each == site)

    async def snapshot(self) -> None:
        """Release the open days anew in which something has changed. Raises StoreError."""
        plan = self._plan()
        for day in sorted(self._shipping.changed):
            await self._store.do(Store.release, plan.site, day, k=plan.k, owner=self._spool.owner)
            self._shipping.changed.discard(day)
        self.snapshot_made = self._clock()

    async def close(
        self, only: date | None = None, *, patience: float = 0, among: Collection[date] | None = None
    ) -> list[str]:
        """Close the days that are over; return those that were closed now. Raises StoreError.

        only: close this day, even within the time of grace; among: none but these. patience: seconds for which the
        clock must have said that a day is over, since a clock that jumped may be set right again. With any, a day that
        is ``OLD`` must have been ``QUIET`` too. A day that an import is adding to stays open.
        """
        now, ours = datetime.fromtimestamp(self._clock(), UTC), self._plan().site
        closed = []
        over_before, self._over = self._over, {}
        there = await self._store.do(Store.open_days)
        growing = await self._growing({day for site, day in there if site == ours}, now) if patience else frozenset()
        for site, day in there:
            over = self._end(day) + (timedelta() if day == only else GRACE) <= now
            if not over or site != ours:
                continue
            since = self._over[day] = over_before.get(day, self._passed())
            due = self._passed() - since >= patience and only in (None, day) and (among is None or day in among)
            if due and day not in growing and not self._importing(day) and await self._close(day, now):
                closed.append(day.isoformat())
        self.open = sum(site == ours for site, _ in there) - len(closed)
        if closed:
            await self.archive()
        return closed

    async def ours_alone(self, days: Iterable[date]) -> frozenset[date]:
        """Those of some days whose open cells are all from this recorder, and from this start of it."""
        days = frozenset(days)
        added = await self._store.do(Store.added, self._plan().site, max(days)) if days else {}
        return frozenset(day for day in days if added.get(day, 0) == self._shipping.sent[day])

    async def _growing(self, days: Set[date], now: datetime) -> frozenset[date]:
        """Those of our open days that are old, but have not been quiet yet. Days without cells are, and so are those
        that take no more facts: what is left of them goes soon."""
        site, passed = self._plan().site, self._passed()
        old = {day for day in days if self._end(day) + GRACE + OLD < now and iso(site, day) not in self._keyring.closed}
        before, self._grown = self._grown, {}
        facts = await self._store.do(Store.added, site, max(old)) if old else {}
        for day in old & facts.keys():
            count, since = before.get(day, (-1, passed))
            self._grown[day] = (facts[day], since if facts[day] == count else passed)
        return frozenset(day for day, (_, since) in self._grown.items() if passed - since < QUIET)

    async def archive(self) -> None:
        """Put closed days where they are asked for fast. Raises StoreError."""
        self.archived = self._clock()
        # A few at a time, so that other questions are answered in between.
        while await self._store.do(Store.archive, self._plan().site, datetime.fromtimestamp(self._clock(), UTC)):
            pass

    async def _close(self, day: date, now: datetime) -> bool:
        plan = self._plan()
        await self._empty()
        self._keyring.close(iso(plan.site, day))
        closing = await self._store.do(Store.close_day, plan.site, day, k=plan.k, owner=self._spool.owner, now=now)
        self._shipping.refused += closing.refused
        self._shipping.changed.discard(day)
        self._shipping.sent.pop(day, None)
        await self._spool.do(Spool.forget_salt, *iso(plan.site, day))
        return closing.closed

    def _end(self, day: date) -> datetime:
        return datetime.combine(day + timedelta(days=1), _MIDNIGHT, self._plan().settings.timezone)
