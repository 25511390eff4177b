"""What goes on beside the requests where the middleware stands alone in an app: hits are sent to the recorder, and a
changed configuration is taken up. A worker does both itself."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from vestibule.link import Sender
from vestibule.live import LOOK, Follower


class Tending:
    """Begins with the first request of a loop, ends with the app's lifespan (or the loop)."""

    def __init__(self, sender: Sender | None, follower: Follower | None) -> None:
        self._sender = sender
        self._follower = follower
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Make sure that it goes on in the running loop."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        self._loop = loop
        self._tasks = []
        if self._sender is not None:
            self._tasks.append(loop.create_task(self._sender.run()))
        if self._follower is not None:
            self._tasks.append(loop.create_task(self._follow(self._follower)))

    def until_shutdown(self, receive: Receive) -> Receive:
        """``receive`` of a lifespan, by whose end this ends too."""

        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._end()
            return message

        return received

    async def _end(self) -> None:
        if self._sender is not None:
            await self._sender.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._loop = [], None

    @staticmethod
    async def _follow(follower: Follower) -> None:
        while True:
            await asyncio.sleep(LOOK)
            await follower.look()
