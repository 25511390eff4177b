"""Questions of one page to the backend: each has a time limit, may fail by itself, and is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any

from vestibule.core.errors import VestibuleError
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.memory import Memory
from vestibule.dashboard.periods import Period

TIMEOUT = 10.0
"""Seconds that one question may take."""

Answer = Mapping[str, Any]
Where = tuple[str, str]


async def guarded(question: Awaitable[Answer]) -> Answer | None:
    """Return the answer, or None where the store fails or takes too long."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await question
    except (VestibuleError, TimeoutError):
        return None


class Asking:
    """What one page asks; ``memory`` holds what others asked lately. What one page asks for twice is asked once."""

    def __init__(self, backend: Backend, site: str, memory: Memory | None = None) -> None:
        self._backend = backend
        self._site = site
        self._memory = memory
        self._asked: dict[object, asyncio.Future[Answer | None]] = {}

    async def breakdown(
        self,
        kind: str,
        by: str,
        period: Period,
        *,
        where: Where | None = None,
        limit: int = 100,
        level: int | None = None,
    ) -> Answer | None:
        """A level can't be asked together with a filter: the rows are leaves then."""
        level = level if where is None else None
        return await self._once(
            ("breakdown", kind, by, period.start, period.end, where, limit, level),
            period.end,
            lambda: self._backend.breakdown(
                site=self._site,
                kind=kind,
                by=by,
                start=period.start,
                end=period.end,
                where=where,
                limit=limit,
                level=level,
            ),
        )

    async def timeseries(self, kind: str, interval: str, period: Period, where: Where | None = None) -> Answer | None:
        return await self._once(
            ("timeseries", kind, interval, period.start, period.end, where),
            period.end,
            lambda: self._backend.timeseries(
                site=self._site, kind=kind, interval=interval, start=period.start, end=period.end, where=where
            ),
        )

    async def health(self) -> Answer | None:
        return await self._once("health", None, self._backend.health)

    async def _once(self, key: object, end: date | None, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """end: the last day asked about; None where the answer is not to be remembered."""
        known = self._memory.get(key) if self._memory is not None else None
        if known is not None:
            return known
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.ensure_future(guarded(ask()))
        answer = await asyncio.shield(future)
        if answer is not None and end is not None and self._memory is not None:
            self._memory.put(key, end, answer)
        return answer
