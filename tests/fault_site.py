"""A site for fault tests, as a process that can be killed: ``python -m tests.fault_site PORT``.

Every body carries the number of its request, over and over, so that a body that came to the wrong request shows:

    GET  /id/N?SIZE      SIZE bytes, with a length
    GET  /chunks/N?SIZE  the same in chunks, a little at a time
    POST /echo/N         what was sent
    GET  /broken/N?SIZE  half of it, then a reset
    GET  /headless/N     half a head, then a reset
    GET  /garbage/N      what is no HTTP
    GET  /silent/N       nothing at all
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from typing import cast

import uvloop

RESET = struct.pack("ii", 1, 0)
PIECE = 16_384
PAUSE = 0.002


def body_of(number: int, size: int) -> bytes:
    """What request ``number`` is answered with, ``size`` bytes long."""
    word = b"%d." % number
    return (word * (size // len(word) + 1))[:size]


class Site(asyncio.Protocol):
    """One connection; requests come one by one, as our upstream pool sends them."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        line, _, fields = bytes(self._data[:end]).partition(b"\r\n")
        length = 0
        for field in fields.split(b"\r\n"):
            name, _, value = field.partition(b": ")
            if name == b"content-length":
                length = int(value)
        if len(self._data) < end + 4 + length:
            return
        body = bytes(self._data[end + 4 : end + 4 + length])
        del self._data[: end + 4 + length]
        target = line.split(b" ")[1].decode()
        path, _, size = target.partition("?")
        _, kind, number = path.split("/")
        self._answer(kind, int(number), int(size or 0), body)

    def _answer(self, kind: str, number: int, size: int, body: bytes) -> None:
        if kind == "id":
            self._send(body_of(number, size))
        elif kind == "echo":
            self._send(body)
        elif kind == "chunks":
            self._task = asyncio.get_running_loop().create_task(self._chunks(body_of(number, size)))
        elif kind == "broken":
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % size)
            self._transport.write(body_of(number, size)[: size // 2])
            asyncio.get_running_loop().call_later(PAUSE, self._reset)
        elif kind == "headless":
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            asyncio.get_running_loop().call_later(PAUSE, self._reset)
        elif kind == "garbage":
            self._transport.write(b"\x00\x01\x02 what is this\r\n\r\n")

    def _send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    async def _chunks(self, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), PIECE):
            piece = body[start : start + PIECE]
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(PAUSE)
            await self._room.wait()
        self._transport.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Site, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
