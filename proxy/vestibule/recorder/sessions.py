"""Visits: the pages that a visitor sees with less than thirty minutes between one and the next.

They are put together in memory, by the keys that visitors have today, and counted when they end. A visit does not go on
past midnight, when everyone gets another key. At ``MAX_SESSIONS`` the ones that have been idle longest are ended early.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from vestibule.core.visit import depth, duration

IDLE = 30 * 60
"""Seconds after which a visit has ended."""

MAX_SESSIONS = 100_000

Chain = tuple[str, ...]
_KEPT = ("referrer", "campaign", "country", "device")


@dataclass(slots=True)
class Session:
    """A visit that goes on. first, last: seconds since the epoch, UTC."""

    site: str
    day: str
    visitor: bytes
    first: float
    last: float
    entry: Chain
    exit: Chain
    kept: tuple[Chain | None, ...]
    views: int = 1

    @property
    def values(self) -> dict[str, Chain]:
        """The dimensions of the fact that the visit becomes."""
        values = {
            "entry": self.entry,
            "exit": self.exit,
            "depth": (depth(self.views),),
            "duration": (duration(self.last - self.first),),
        }
        values.update((name, chain) for name, chain in zip(_KEPT, self.kept, strict=True) if chain)
        return values


class Sessions:
    """All visits that go on, the longest idle first."""

    def __init__(self, limit: int = MAX_SESSIONS) -> None:
        self._limit = limit
        self._sessions: OrderedDict[tuple[str, str, bytes], Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def view(self, site: str, day: str, visitor: bytes, time: float, values: Mapping[str, Chain]) -> Iterator[Session]:
        """Add a page view to its visit; yields visits that end by it."""
        page = values.get("page", ())
        key = (site, day, visitor)
        session = self._sessions.get(key)
        # One that comes long before may be of another log of the same day.
        if session is not None and not session.first - IDLE <= time <= session.last + IDLE:
            yield self._sessions.pop(key)
            session = None
        if session is None:
            kept = tuple(values.get(name) for name in _KEPT)
            self._sessions[key] = Session(site, day, visitor, time, time, page, page, kept)
            if len(self._sessions) > self._limit:
                yield self._sessions.popitem(last=False)[1]
            return
        session.first, session.last = min(session.first, time), max(session.last, time)
        session.exit = page
        session.views += 1
        self._sessions.move_to_end(key)

    def ended(self, now: float) -> Iterator[Session]:
        """Take out the visits that have been idle for long enough at ``now``."""
        while self._sessions:
            key, session = next(iter(self._sessions.items()))
            if now - session.last <= IDLE:
                return
            del self._sessions[key]
            yield session

    def of(self, days: Collection[str]) -> Iterator[Session]:
        """Take out the visits of some days."""
        for key in [key for key, session in self._sessions.items() if session.day in days]:
            yield self._sessions.pop(key)

    def all(self) -> Iterator[Session]:
        """Take out every visit."""
        while self._sessions:
            yield self._sessions.popitem(last=False)[1]
