"""uvicorn's server on sockets that are handed to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn


class Server(uvicorn.Server):
    """uvicorn's server, told by the worker when to end and telling it when it listens."""

    on_started: Callable[[], None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's: uvicorn would end the process by them before the last facts are sent."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.servers = [await self._listen(loop, listener) for listener in sockets or ()]
        self.started = True
        if self.on_started is not None:
            self.on_started()

    async def _listen(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> asyncio.Server:
        if listener.family == socket.AF_UNIX:
            return await loop.create_unix_server(self._protocol, sock=listener, backlog=self.config.backlog)
        return await loop.create_server(self._protocol, sock=listener, backlog=self.config.backlog)

    def _protocol(self) -> asyncio.Protocol:
        factory: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = factory(config=self.config, server_state=self.server_state, app_state={})
        return protocol
