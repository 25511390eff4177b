"""The spool, from an event loop: one thread owns a connection to it, since the disk may take its time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from vestibule.recorder.spool import Spool, SpoolError

Answer = TypeVar("Answer")
Given = ParamSpec("Given")


class SpoolThread:
    """A spool and the one thread that uses it. limit: bytes."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self._executor = ThreadPoolExecutor(1, "spool")
        self._spool: Spool | None = None
        self.owner = ""
        """What the spool calls itself, the same after a restart."""

    async def open(self) -> None:
        """Raises SpoolError."""
        loop = asyncio.get_running_loop()
        self._spool = await loop.run_in_executor(self._executor, lambda: Spool(self._path, limit=self._limit))
        self.owner = self._spool.owner

    async def do(
        self, action: Callable[Concatenate[Spool, Given], Answer], *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Run ``action`` on the spool, to its end even where the caller is cancelled. Raises SpoolError."""
        if self._spool is None:
            raise SpoolError("spool: not open")
        running = asyncio.get_running_loop().run_in_executor(
            self._executor, functools.partial(action, self._spool, *args, **kwargs)
        )
        return await asyncio.shield(running)

    async def figures(self) -> dict[str, int]:
        """hashes: what waits for the store. bytes: the file's. shed: pairs that were given up. Raises SpoolError."""
        return await self.do(_figures)

    async def close(self) -> None:
        if self._spool is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._spool.close)
            self._spool = None
        self._executor.shutdown()


def _figures(spool: Spool) -> dict[str, int]:
    return {"hashes": spool.waiting, "bytes": spool.size, "shed": spool.shed}
