"""Asking the recorder: a connection on which every message is answered, and a plain client for commands."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from vestibule.core.errors import LinkError
from vestibule.link.frames import Message, pack, read, receive, result

ASK_TIMEOUT = 2.0
"""Seconds that a worker waits: a visitor waits with it."""
CALL_TIMEOUT = 60.0
"""Seconds that a command waits."""


def call(path: str, name: str, /, *, timeout: float = CALL_TIMEOUT, **params: Any) -> Any:
    """Ask the recorder something, from a command. Raises LinkError where it can't be reached, or says no."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(pack({"id": 1, "call": name, "with": params}))
            return result(receive(connection))
    except (OSError, ValueError) as error:
        raise LinkError(f"the recorder cannot be reached: {getattr(error, 'strerror', None) or error}") from None


class Asking:
    """A connection on which every message is answered. One question at a time: there are few."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._id = 0

    async def ask(self, message: Message, patience: float) -> Any:
        """The result; waits ``patience`` seconds. Raises LinkError where the recorder can't be reached, or says no."""
        try:
            async with asyncio.timeout(patience), self._lock:
                return result(await self._exchange(message))
        except (OSError, TimeoutError) as error:
            raise LinkError(f"the recorder cannot be reached: {type(error).__name__}") from None

    async def close(self) -> None:
        """Hang up; the next question connects anew."""
        if self._streams is not None:
            await hang_up(self._streams[1])
            self._streams = None

    async def _exchange(self, message: Message) -> Message:
        self._id += 1
        fresh = self._streams is None
        while True:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(self._path)
            reader, writer = self._streams
            try:
                writer.write(pack({"id": self._id, **message}))
                await writer.drain()
                answer = await read(reader)
                if answer is not None and answer.get("id") == self._id:
                    return answer
                raise ConnectionResetError
            except BaseException as error:
                # An answer that comes later must not be taken for the next one's.
                self._streams = None
                writer.close()
                # The recorder may have been restarted since the last question: asked once more, it may answer.
                if not isinstance(error, OSError) or fresh:
                    raise
                fresh = True


async def connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Reach the recorder. Raises OSError or TimeoutError."""
    async with asyncio.timeout(ASK_TIMEOUT):
        return await asyncio.open_unix_connection(path)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """End a connection; waits a second at the most."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1)
