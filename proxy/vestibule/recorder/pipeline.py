"""From hits to cells, in memory: facts, visits, keys, counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo

from vestibule.core.cells import Accumulator
from vestibule.core.hits import storable
from vestibule.core.keys import DayKeys, visitor_key
from vestibule.core.visit import Hit, Lookups, Settings, facts
from vestibule.recorder.sessions import Session, Sessions

VIEW = "view"
VISIT = "visit"

MAX_CELLS = 2_000_000
"""Additions to cells that are held at most until they are swapped out."""


def day_of(time: float, zone: tzinfo) -> date:
    """The day at a time (seconds since the epoch, UTC) in a time zone."""
    return datetime.fromtimestamp(time, UTC).astimezone(zone).date()


class Pipeline:
    """Counts hits whose days' keys are known. One thread only.

    keys: by site and day (ISO 8601); whoever owns it fills it before hits of that day come. Hits of days that it has no
    key for are dropped as ``closed``, and those of times that cannot be stored as ``time``.
    """

    def __init__(
        self,
        site: str,
        settings: Settings,
        lookups: Lookups,
        keys: Mapping[tuple[str, str], DayKeys],
    ) -> None:
        self.settings = settings
        self._site, self._lookups, self._keys = site, lookups, keys
        self._cells = Accumulator()
        self._sessions = Sessions()
        self.drops: Counter[str] = Counter()
        """Hits that were not counted, by reason, since the start."""
        self.facts: Counter[str] = Counter()
        """Facts that were counted, by kind, since the start."""

    def days(self, hits: Iterable[Hit]) -> set[str]:
        """The days on which hits fall, of those that can be stored."""
        zone = self.settings.timezone
        minutes = {int(hit.time) // 60 for hit in hits}
        return {day_of(minute * 60, zone).isoformat() for minute in minutes if storable(minute * 60)}

    def count(self, hits: Iterable[Hit]) -> None:
        """Count hits."""
        zone = self.settings.timezone
        minute, day = -1, ""
        for hit in hits:
            if int(hit.time) // 60 != minute:
                minute = int(hit.time) // 60
                day = day_of(minute * 60, zone).isoformat() if storable(minute * 60) else ""
            self._count(hit, day)

    def end_visits(self, now: float | None = None) -> None:
        """Count the visits that have ended by ``now`` (seconds since the epoch); with None all of them."""
        for session in self._sessions.all() if now is None else self._sessions.ended(now):
            self._end(session)

    def end_visits_of(self, days: Collection[str]) -> None:
        """Count the visits of some days (ISO 8601), whether they have ended or not."""
        for session in self._sessions.of(days):
            self._end(session)

    def swap(self) -> Accumulator:
        """Begin anew; return what has been counted since the last time, to be worked out elsewhere."""
        cells, self._cells = self._cells, Accumulator()
        return cells

    @property
    def full(self) -> bool:
        """Whether it is time to ``swap``."""
        return self._cells.cells > MAX_CELLS

    @property
    def visits(self) -> int:
        """Visits that go on."""
        return len(self._sessions)

    def _count(self, hit: Hit, day: str) -> None:
        keys = self._keys.get((self._site, day))
        if hit.site != self._site or keys is None:
            self.drops["site" if hit.site != self._site else "closed" if day else "time"] += 1
            return
        found, reason = facts(hit, self.settings, self._lookups)
        if reason is not None:
            self.drops[reason] += 1
        for fact in found:
            visitor = visitor_key(keys, fact.visitor)
            self._cells.add(self._site, day, keys, fact.kind, fact.time, fact.values, visitor)
            self.facts[fact.kind] += 1
            if fact.kind == VIEW:
                for session in self._sessions.view(self._site, day, visitor, fact.time, fact.values):
                    self._end(session)

    def _end(self, session: Session) -> None:
        keys = self._keys.get((session.site, session.day))
        if keys is None:
            self.drops["closed"] += 1
            return
        self._cells.add(session.site, session.day, keys, VISIT, session.first, session.values, session.visitor)
        self.facts[VISIT] += 1
