"""Counting logs of the past, beside what comes in."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from vestibule.core.errors import StoreError
from vestibule.core.visit import Hit
from vestibule.recorder.intake import Intake
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread

_PATIENCE = 600.0
"""Seconds after which an import that brings nothing more is taken for ended."""


_AHEAD = 86_400.0
"""Seconds that the times of logs may be ahead. A later day would stay open until it has come and gone."""
_OLD, _TIME = "old", "time"
"""Why hits are dropped: nothing may be told any more of when they were; or they were not yet."""


@dataclass(slots=True)
class _Import:
    """days: that it adds to, ISO 8601. seen: when it brought something last, in seconds since the epoch."""

    days: set[str] = field(default_factory=set)
    seen: float = 0.0


class Importing:
    """secret: the deployment's. clock: seconds since the epoch. ship: sends what was written to the store. keep_for:
    seconds for which a day may be told of."""

    def __init__(
        self,
        intake: Intake,
        spool: SpoolThread,
        secret: str,
        clock: Callable[[], float],
        ship: Callable[[], Awaitable[None]],
        keep_for: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.intake = intake
        self._pipeline = intake.pipeline
        self._spool, self._clock, self._ship, self._keep_for = spool, clock, ship, keep_for
        self._key = hashlib.sha256(f"vestibule import\n{secret}".encode()).digest()
        self._imports: dict[str, _Import] = {}
        self._aside: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    async def begin(self, days: Collection[str], name: str = "") -> None:
        """An import begins, which will bring something of some days (ISO 8601)."""
        if not any(self._goes_on(each) for each in self._imports.values()):
            self.figures()  # of one that was cut short
        self._import(name).days |= set(days)

    async def hits(self, hits: Sequence[Hit], known_by: Sequence[str] = (), lines: int = 0, name: str = "") -> None:
        """Count hits of the past, in the order of their times. What came is on disk a second later.

        known_by: digests of the first lines of the log that they are from; lines: up to which of its lines all have
        come. That is written together with what was counted of them. name: the import's.
        """
        found = self._import(name)
        first, last = self._clock() - self._keep_for(), self._clock() + _AHEAD
        drops = [_OLD if hit.time < first else _TIME if hit.time > last else "" for hit in hits]
        if any(drops):
            self._pipeline.drops.update(filter(None, drops))
            hits = [hit for hit, drop in zip(hits, drops, strict=True) if not drop]
        found.days |= self._pipeline.days(hits)
        await self.intake.take(hits, dict.fromkeys(map(self._source, known_by), lines))
        if self._pipeline.full:
            await self._put_aside()
        if hits:
            self._pipeline.end_visits(max(hit.time for hit in hits))

    async def position(self, known_by: Sequence[tuple[int, str]]) -> int:
        """How many lines of a log were counted before, and are on disk. Raises SpoolError.

        known_by: digests of its first lines, the fewest first, each with how many that are. A log of which more was
        counted than its first lines, as which this one begins, but that goes on in another way, is another one.
        """
        # What was counted a moment ago may be of the same log by another name.
        await self._write_all()
        counted = 0
        for lines, digest in known_by:
            found = await self._spool.do(Spool.reached, self._source(digest))
            if not found and counted >= lines:
                return 0
            counted = found or counted
        return counted

    async def done(self, days: Collection[str], name: str = "") -> None:
        """Write and send all that came of some days (ISO 8601), of which an import brings nothing more. Raises
        StoreError."""
        found = self._import(name)
        self._pipeline.end_visits_of(days)
        await self._send_all()
        found.days -= set(days)

    async def finish(self, name: str = "") -> None:
        """Write and send all that came. Raises StoreError."""
        self._pipeline.end_visits()
        await self._send_all()
        self._imports.pop(name, None)

    def figures(self) -> dict[str, Any]:
        """What was counted since the last time, by kind, and what was not, by reason."""
        found = {"facts": dict(self._pipeline.facts), "drops": dict(self._pipeline.drops)}
        self._pipeline.facts.clear()
        self._pipeline.drops.clear()
        return found

    def adds_to(self, day: date) -> bool:
        """Whether an import is adding to a day."""
        return any(day.isoformat() in each.days for each in self._imports.values() if self._goes_on(each))

    def stop(self) -> list[asyncio.Task[None]]:
        """Send no more; return what is still to end."""
        if self._sending is not None:
            self._sending.cancel()
        return [task for task in (self._aside, self._sending) if task is not None]

    def _import(self, name: str) -> _Import:
        self._imports = {known: each for known, each in self._imports.items() if known == name or self._goes_on(each)}
        found = self._imports.setdefault(name, _Import())
        found.seen = self._clock()
        return found

    def _goes_on(self, one: _Import) -> bool:
        return self._clock() - one.seen < _PATIENCE

    def _source(self, digest: str) -> str:
        """The name of a log by its first lines: a keyed hash, since these name a visitor."""
        return hashlib.blake2b(digest.encode("utf-8", "replace"), key=self._key, digest_size=16).hexdigest()

    async def _write_all(self) -> None:
        if self._aside is not None:
            await self._aside
        await self.intake.flush()

    async def _send_all(self) -> None:
        await self._write_all()
        if self.intake.trouble:
            raise SpoolError(self.intake.trouble)
        await self._ship()

    async def _put_aside(self) -> None:
        """Write what has been counted, and send what was written before, while it goes on."""
        if self._aside is not None:
            await self._aside
        self._aside = asyncio.create_task(self.intake.write(self.intake.swap()))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_if_it_can())

    async def _send_if_it_can(self) -> None:
        with contextlib.suppress(StoreError, SpoolError):
            await self._ship()
