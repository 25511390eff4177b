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
from vestibule.recorder.spool import WORKER, Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread
from vestibule.recorder.writing import Counted, Writing

MOST_SENDERS = 10_000
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
        self._closed = False

    def close(self) -> None:
        """Take no more: what is written next is the last."""
        self._closed = True

    async def take(self, hits: Sequence[Hit], reached: Mapping[str, int] = MappingProxyType({})) -> None:
        """Count hits. reached: by source how far all of its hits have come with these. Raises SpoolError where nobody
        will write them."""
        await self._see_to_keys(hits)
        self._check()
        # Nothing is waited for between these two, so that what is written of them is always of both.
        self.pipeline.count(hits)
        self._reached.update(reached)

    async def once(self, hits: Sequence[Hit], delivery: Delivery) -> bool:
        """Count the hits of a message unless it was counted before; return whether they were counted now. A sender's
        messages are numbered as they come. Raises SpoolError where nobody will write them."""
        source = WORKER + delivery.sender
        await self._see_to_keys(hits)
        if source not in self._numbers:
            known = 0
            with contextlib.suppress(SpoolError):  # better twice than not at all
                known = await self._spool.do(Spool.reached, source)
            self._numbers.setdefault(source, known)
        self._check()
        number = self._numbers.pop(source)
        # Those that said something last come last.
        self._numbers[source] = max(number, delivery.number)
        while len(self._numbers) > MOST_SENDERS:
            del self._numbers[next(iter(self._numbers))]
        if delivery.number <= number:
            return False
        # First its number: a message that cannot be counted comes again, and would be counted in part each time.
        self._reached[source] = delivery.number
        self.pipeline.count(hits)
        return True

    def promise(self) -> asyncio.Future[None]:
        """What is done once all that was counted until now is on disk, and cancelled where nobody will tell. It is
        shared by many. Raises SpoolError where nothing more will be written."""
        self._check()
        # What was counted before may be under way to the disk, and is there with what is written next.
        if self._kept is None:
            self._kept = asyncio.get_running_loop().create_future()
        return self._kept

    @property
    def trouble(self) -> str:
        """Why what was counted could not be written; empty where it was."""
        return self._writing.trouble

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

    def _check(self) -> None:
        if self._closed:
            raise SpoolError("spool: the recorder ends")

    async def _see_to_keys(self, hits: Sequence[Hit]) -> None:
        for day in self.pipeline.days(hits):
            await self._salting.ensure(date.fromisoformat(day))
