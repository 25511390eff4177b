"""Hits on their way through a pipeline to the disk, each message of a worker and each line of a log once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType

from vestibule.core.visit import Hit
from vestibule.link import Delivery
from vestibule.recorder.pipeline import Pipeline
from vestibule.recorder.salting import Salting
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread
from vestibule.recorder.writing import Counted, Writing

WORKER = "worker "
"""What the sources that are workers begin with; a log's name has no space."""
MOST_SENDERS = 1000
"""Workers whose messages are told apart; each start of one makes another."""


class Intake:
    """What a pipeline counts of hits, and how far it has counted each of their sources. Both are written together, so
    that whoever comes after a crash knows what is on disk.

    wrote: called after each write that brought something.
    """

    def __init__(
        self, pipeline: Pipeline, salting: Salting, spool: SpoolThread, writing: Writing, wrote: Callable[[], None]
    ) -> None:
        self.pipeline = pipeline
        self._salting, self._spool, self._writing, self._wrote = salting, spool, writing, wrote
        self._reached: dict[str, int] = {}
        self._kept: asyncio.Future[None] | None = None
        self._numbers: dict[str, int] = {}

    async def take(self, hits: Sequence[Hit], reached: Mapping[str, int] = MappingProxyType({})) -> None:
        """Count hits. reached: by source how far all of its hits have come with these."""
        await self._see_to_keys(hits)
        # Nothing is waited for between these two, so that what is written of them is always of both.
        self.pipeline.count(hits)
        self._reached.update(reached)

    async def once(self, hits: Sequence[Hit], delivery: Delivery) -> tuple[asyncio.Future[None], bool]:
        """Count the hits of a message unless it was counted before; return what is done once they are on disk, and
        whether they were counted now. A sender's messages are numbered as they come."""
        source = WORKER + delivery.sender
        await self._see_to_keys(hits)
        if source not in self._numbers:
            known = 0
            with contextlib.suppress(SpoolError):  # better twice than not at all
                known = await self._spool.do(Spool.reached, source)
            self._numbers.setdefault(source, known)
        number = self._numbers.pop(source)
        fresh = delivery.number > number
        if fresh:
            self.pipeline.count(hits)
            self._reached[source] = delivery.number
        # Those that said something last come last.
        self._numbers[source] = max(number, delivery.number)
        while len(self._numbers) > MOST_SENDERS:
            del self._numbers[next(iter(self._numbers))]
        # One that was counted before may not be on disk yet, but is with what is written next.
        return self._promise(), fresh

    async def flush(self) -> None:
        """Write what has been counted to disk."""
        await self.write(self.swap())

    def swap(self) -> Counted:
        """Begin anew; return what has been counted, to be written."""
        reached, self._reached = self._reached, {}
        kept, self._kept = self._kept, None
        return Counted(self.pipeline.swap(), reached, kept)

    async def write(self, counted: Counted) -> None:
        """Write what was counted; what cannot be written is written with what comes next."""
        if await self._writing.write(counted):
            self._wrote()

    def _promise(self) -> asyncio.Future[None]:
        if self._kept is None:
            self._kept = asyncio.get_running_loop().create_future()
        return self._kept

    async def _see_to_keys(self, hits: Sequence[Hit]) -> None:
        for day in self.pipeline.days(hits):
            await self._salting.ensure(date.fromisoformat(day))
