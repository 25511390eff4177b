"""What goes on beside the requests where the middleware stands alone in an app: hits are sent to the recorder, and a
changed configuration is taken up. A worker does both itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.types import Message, Receive

from vestibule.config import Config
from vestibule.core.errors import ConfigError
from vestibule.link import Sender
from vestibule.live import LOOK, Live

log = logging.getLogger("vestibule")


class Tending:
    """Begins with the first request of a loop, ends with the app's lifespan (or the loop)."""

    def __init__(self, sender: Sender | None, live: Live | None, reload: Callable[[Config], None]) -> None:
        self._sender = sender
        self._live = live
        self._reload = reload
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
        if self._live is not None:
            self._tasks.append(loop.create_task(self._watch(self._live)))

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

    async def _watch(self, live: Live) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if not live.changed():
                continue
            try:
                config = await asyncio.to_thread(live.reload)
            except ConfigError as error:
                for problem in error.problems:
                    log.warning("config: not taken up, the one before stays: %s", problem)
                continue
            self._reload(config)
            log.info("config: taken up")
