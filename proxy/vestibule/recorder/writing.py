"""What has been counted, on its way from memory to the disk; while the disk is full it stays in memory, bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from vestibule.core.cells import Accumulator, Partial, merge
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread

log = logging.getLogger("vestibule.recorder")

_MAX_UNWRITTEN = 5_000_000
"""Hashes that are kept in memory while nothing can be written; beyond these only singles are kept."""
_MOST_WAITING = 100
"""Promises that wait through failed writes; of more the first are given up, for a later one that is fulfilled says the
same of all that was counted before."""


class Counted(NamedTuple):
    """What was counted. reached: by source (a log, a worker) how far it has been counted with this. kept: whoever waits
    for this and all before it to be on disk."""

    cells: Accumulator
    reached: Mapping[str, int]
    kept: asyncio.Future[None] | None = None


class Writing:
    """Writes cells to the spool, one after the other."""

    def __init__(self, spool: SpoolThread) -> None:
        self._spool = spool
        self._unwritten: Partial | None = None
        self._unwritten_reached: dict[str, int] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._under_way: set[asyncio.Task[bool]] = set()
        self._flushing = asyncio.Lock()
        self.trouble = ""
        """Why nothing can be written; empty where it can."""
        self.waiting = 0
        """Hashes that waited for the store after the last write."""

    async def write(self, counted: Counted) -> bool:
        """Write what was counted; return whether there was anything. It is done to its end even where the caller is
        cancelled: nobody else has what was counted.

        What cannot be written is written with what comes next.
        """
        writing = asyncio.create_task(self._write(counted))
        self._under_way.add(writing)
        writing.add_done_callback(self._under_way.discard)
        return await asyncio.shield(writing)

    def give_up(self) -> None:
        """Tell nobody any more: nothing will be written."""
        for kept in self._waiting:
            kept.cancel()
        self._waiting.clear()

    async def _write(self, counted: Counted) -> bool:
        async with self._flushing:
            if not (counted.cells.facts or counted.reached or self._unwritten is not None or self._unwritten_reached):
                self._wait(counted)
                self._done()
                return False
            try:
                partial = await self._spool.do(_gather, self._unwritten, counted.cells)
            except BaseException:
                # What was counted is lost: nothing may say that it is on disk.
                if counted.kept is not None:
                    counted.kept.cancel()
                raise
            # From here on it is in what waits, whatever becomes of this write; and only now are its numbers.
            self._unwritten = partial
            self._unwritten_reached.update(counted.reached)
            self._wait(counted)
            try:
                self.waiting = await self._spool.do(Spool.append, partial, dict(self._unwritten_reached))
            except Exception as error:
                # Words that are not ours might tell what was counted.
                trouble = str(error) if isinstance(error, SpoolError) else type(error).__name__
                if not self.trouble:
                    log.warning("%s; what is counted stays in memory until it can be written", trouble)
                self.trouble = trouble
                if len(partial.hashes) > _MAX_UNWRITTEN:
                    self._unwritten = partial.singles()
                while len(self._waiting) > _MOST_WAITING:
                    self._waiting.pop(0).cancel()
            else:
                self._unwritten, self.trouble = None, ""
                self._unwritten_reached.clear()
                self._done()
            return True

    def _wait(self, counted: Counted) -> None:
        if counted.kept is not None:
            self._waiting.append(counted.kept)

    def _done(self) -> None:
        for kept in self._waiting:
            if not kept.done():
                kept.set_result(None)
        self._waiting.clear()


def _gather(_: Spool, unwritten: Partial | None, cells: Accumulator) -> Partial:
    taken = cells.take()
    return taken if unwritten is None else merge([unwritten, taken])
