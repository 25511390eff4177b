"""What has been counted, on its way from memory to the disk; while the disk is full it stays in memory, bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from vestibule.core.cells import Accumulator, Partial, merge
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread

log = logging.getLogger("vestibule.recorder")

_MAX_UNWRITTEN = 5_000_000
"""Hashes that are kept in memory while nothing can be written; beyond these only singles are kept."""


class Writing:
    """Writes cells to the spool, one after the other."""

    def __init__(self, spool: SpoolThread) -> None:
        self._spool = spool
        self._unwritten: Partial | None = None
        self._unwritten_lines: dict[str, int] = {}
        self._flushing = asyncio.Lock()
        self.trouble = ""
        """Why nothing can be written; empty where it can."""
        self.waiting = 0
        """Hashes that waited for the store after the last write."""

    async def write(self, cells: Accumulator, imported: Mapping[str, int]) -> bool:
        """Write what was counted, and of which logs how many lines that were; return whether there was anything.

        What cannot be written is written with what comes next.
        """
        async with self._flushing:
            self._unwritten_lines.update(imported)
            if not cells.facts and self._unwritten is None and not self._unwritten_lines:
                return False
            partial = await self._spool.do(_gather, self._unwritten, cells)
            try:
                self.waiting = await self._spool.do(Spool.append, partial, dict(self._unwritten_lines))
            except SpoolError as error:
                if self._unwritten is None:
                    log.warning("%s; what is counted stays in memory until it can be written", error)
                self.trouble = str(error)
                self._unwritten = partial if len(partial.hashes) <= _MAX_UNWRITTEN else partial.singles()
            else:
                self._unwritten, self.trouble = None, ""
                self._unwritten_lines.clear()
            return True


def _gather(_: Spool, unwritten: Partial | None, cells: Accumulator) -> Partial:
    taken = cells.take()
    return taken if unwritten is None else merge([unwritten, taken])
