"""Counting logs of the past, beside what comes in."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any

from vestibule.core.errors import StoreError
from vestibule.core.visit import Hit
from vestibule.recorder.intake import Intake
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread

_PATIENCE = 600.0
"""Seconds after which an import that brings nothing more is taken for ended."""


class Importing:
    """secret: the deployment's. clock: seconds since the epoch. ship: sends what was written to the store."""

    def __init__(
        self,
        intake: Intake,
        spool: SpoolThread,
        secret: str,
        clock: Callable[[], float],
        ship: Callable[[], Awaitable[None]],
    ) -> None:
        self.intake = intake
        self._pipeline = intake.pipeline
        self._spool, self._secret, self._clock, self._ship = spool, secret, clock, ship
        self._days: set[str] = set()
        self._seen = 0.0
        self._aside: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    async def hits(self, hits: Sequence[Hit], source: str = "", lines: int = 0) -> None:
        """Count hits of the past, in the order of their times. What came is on disk a second later.

        source: the log they are from, as ``source`` names it; lines: up to which of its lines all have come. That is
        written together with what was counted of them.
        """
        self._seen = self._clock()
        self._days |= self._pipeline.days(hits)
        await self.intake.take(hits, {source: lines} if source else {})
        if self._pipeline.full:
            await self._put_aside()
        if hits:
            self._pipeline.end_visits(max(hit.time for hit in hits))

    def source(self, first: str) -> str:
        """The name of a log by its first lines: a keyed hash, since these name a visitor."""
        key = hashlib.sha256(f"vestibule import\n{self._secret}".encode()).digest()
        return hashlib.blake2b(first.encode("utf-8", "replace"), key=key, digest_size=16).hexdigest()

    async def position(self, source: str) -> int:
        """How many lines of a log were counted before, and are on disk. Raises SpoolError."""
        return await self._spool.do(Spool.reached, source)

    async def finish(self) -> None:
        """Write and send all that came. Raises StoreError."""
        self._pipeline.end_visits()
        if self._aside is not None:
            await self._aside
        await self.intake.flush()
        await self._ship()
        self._days.clear()

    def figures(self) -> dict[str, Any]:
        """What was counted since the last time, by kind, and what was not, by reason."""
        found = {"facts": dict(self._pipeline.facts), "drops": dict(self._pipeline.drops)}
        self._pipeline.facts.clear()
        self._pipeline.drops.clear()
        return found

    def adds_to(self, day: date) -> bool:
        """Whether an import is adding to a day."""
        return day.isoformat() in self._days and self._clock() - self._seen < _PATIENCE

    def stop(self) -> list[asyncio.Task[None]]:
        """Send no more; return what is still to end."""
        if self._sending is not None:
            self._sending.cancel()
        return [task for task in (self._aside, self._sending) if task is not None]

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
