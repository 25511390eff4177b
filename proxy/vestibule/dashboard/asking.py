"""Questions of one page to the backend: each is asked once, and those of one moment are asked together.

Together, since the store takes as long for a panel as for all of them; in groups, so that what fails fails by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from vestibule.core.errors import VestibuleError
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.memory import Memory, Stamp
from vestibule.dashboard.periods import Period

TIMEOUT = 10.0
"""Seconds that one question may take."""
TURNS = 5
"""Turns of the event loop for which questions are gathered: as deep as those who ask are nested."""

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
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[Answer | None]]] = []
        self._gathering: asyncio.Task[None] | None = None

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
        return await self._once({"by": by, "limit": limit, "level": level, **self._question(kind, period, where)})

    async def timeseries(self, kind: str, interval: str, period: Period, where: Where | None = None) -> Answer | None:
        return await self._once({"interval": interval, **self._question(kind, period, where)})

    async def health(self) -> Answer | None:
        if "health" not in self._asked:
            self._asked["health"] = asyncio.ensure_future(guarded(self._backend.health()))
        return await asyncio.shield(self._asked["health"])

    def _question(self, kind: str, period: Period, where: Where | None) -> dict[str, Any]:
        return {"site": self._site, "kind": kind, "start": period.start, "end": period.end, "where": where}

    async def _once(self, question: Mapping[str, Any]) -> Answer | None:
        key = tuple(sorted(question.items(), key=lambda item: item[0]))
        stamp = await self._stamp(question)
        known = self._memory.get(key, stamp) if self._memory is not None else None
        if known is not None:
            return known
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
            self._waiting.append((question, future))
            if self._gathering is None:
                self._gathering = asyncio.create_task(self._gather())
        answer = await asyncio.shield(future)
        if answer is not None and self._memory is not None:
            self._memory.put(key, question["end"], answer, stamp)
        return answer

    async def _stamp(self, question: Mapping[str, Any]) -> Stamp | None:
        """The last release, for a question that is answered by released numbers alone. All wait for it alike, so that
        they are yet asked together."""
        if self._memory is None:
            return None
        stamp = self._memory.stamp(await self.health())
        return stamp if "by" in question or question["where"] is not None else None

    async def _gather(self) -> None:
        """Ask what was asked for in the meantime."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        waiting, self._waiting, self._gathering = self._waiting, [], None
        answers: Sequence[Answer | None] = [None] * len(waiting)
        try:
            async with asyncio.timeout(TIMEOUT):
                answers = await self._backend.answers([question for question, _ in waiting])
        except (VestibuleError, TimeoutError):
            pass
        finally:
            for (_, future), answer in zip(waiting, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
