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
"""Failed writes in a row after which the first of those who wait is told no more."""


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
        self._flushing = asyncio.Lock()
        self.trouble = ""
        """Why nothing can be written; empty where it can."""
        self.waiting = 0
        """Hashes that waited for the store after the last write."""

    async def write(self, counted: Counted) -> bool:
        """Write what was counted; return whether there was anything.

        What cannot be written is written with what comes next.
        """
        async with self._flushing:
            self._unwritten_reached.update(counted.reached)
            if counted.kept is not None:
                self._waiting.append(counted.kept)
            if not counted.cells.facts and self._unwritten is None and not self._unwritten_reached:
                self._done()
                return False
            partial = await self._spool.do(_gather, self._unwritten, counted.cells)
            try:
                self.waiting = await self._spool.do(Spool.append, partial, dict(self._unwritten_reached))
            except SpoolError as error:
                if self._unwritten is None:
                    log.warning("%s; what is counted stays in memory until it can be written", error)
                self.trouble = str(error)
                self._unwritten = partial if len(partial.hashes) <= _MAX_UNWRITTEN else partial.singles()
                while len(self._waiting) > _MOST_WAITING:
                    self._waiting.pop(0).cancel()
            else:
                self._unwritten, self.trouble = None, ""
                self._unwritten_reached.clear()
                self._done()
            return True

    def _done(self) -> None:
        for kept in self._waiting:
            if not kept.done():
                kept.set_result(None)
        self._waiting.clear()


def _gather(_: Spool, unwritten: Partial | None, cells: Accumulator) -> Partial:
    taken = cells.take()
    return taken if unwritten is None else merge([unwritten, taken])
