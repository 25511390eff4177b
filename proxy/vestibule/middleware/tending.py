"""What goes on beside the requests where the middleware stands alone in an app: hits are sent to the recorder, and a
changed configuration is taken up. A worker does both itself."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vestibule.link import Sender
from vestibule.live import LOOK, Follower

LAST_FACTS = 3.0
"""Seconds that the last hits have to reach the recorder when the app ends."""


class Tending:
    """Begins with the first request of a loop, ends with the app's lifespan (or the loop)."""

    def __init__(self, sender: Sender | None, follower: Follower | None) -> None:
        self._sender = sender
        self._follower = follower
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Make sure that it goes on in the running loop."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        self._loop = loop
        self._sending = loop.create_task(self._sender.run()) if self._sender is not None else None
        self._following = loop.create_task(self._follow(self._follower)) if self._follower is not None else None

    async def lifespan(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's lifespan, by whose end this ends, too. An app that knows none (Django) gets one that does nothing
        else."""
        asked = False

        async def received() -> Message:
            nonlocal asked
            asked = True
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._end()
            return message

        try:
            await app(scope, received, send)
        except Exception:
            if asked:
                raise
            while (await received())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

    async def _end(self) -> None:
        if self._sender is not None and self._sending is not None:
            await self._sender.close()
            await asyncio.wait([self._sending], timeout=LAST_FACTS)
        tasks = [task for task in (self._sending, self._following) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sending = self._following = self._loop = None

    @staticmethod
    async def _follow(follower: Follower) -> None:
        while True:
            await asyncio.sleep(LOOK)
            await follower.look()
