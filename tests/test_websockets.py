"""WebSockets through the proxy at length: any size, fragmented, with pings, both ways at once, and slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve

from tests.servers import PATIENCE, serve_asgi, wait_until
from vestibule.protocol import HardenedProtocol, HardenedWebSocket
from vestibule.upstream import Upstream

LARGEST = 4 << 20


def cut(message: str | bytes, chance: random.Random) -> str | bytes | list[Any]:
    """The message, or the fragments in which it is sent."""
    if chance.random() < 0.7:
        return message
    marks = sorted(chance.randrange(len(message) + 1) for _ in range(chance.randrange(1, 6)))
    return [message[start:end] for start, end in zip([0, *marks], [*marks, len(message)], strict=True)]


class Echo:
    """A site that sends back what it gets, cut in its own way; it pings now and then. Paths: ``/flood`` sends without
    end, ``/deaf`` reads nothing until told to."""

    def __init__(self) -> None:
        self.sent = 0
        self.hear = threading.Event()

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        if path == "/flood":
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await connection.send(b"x" * 65536)
                    self.sent += 65536
        elif path == "/deaf":
            await asyncio.to_thread(self.hear.wait, PATIENCE)
            await connection.send(str(sum([len(message) async for message in connection])))
        else:
            chance = random.Random(1)
            async for message in connection:
                await connection.send(cut(message, chance))
                if chance.random() < 0.05:
                    await connection.ping()


@contextlib.contextmanager
def threaded(handler: Any) -> Iterator[str]:
    """A WebSocket server on a loop of its own; yields its URL with http."""
    loop = asyncio.new_event_loop()
    stop = loop.create_future()
    port: list[int] = []

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, max_size=None, max_queue=1, compression=None) as server:
            port.append(next(iter(server.sockets)).getsockname()[1])
            await stop
            for connection in set(server.connections):
                connection.transport.abort()

    def run() -> None:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: bool(port), "the server")
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set_result, None)
        thread.join(PATIENCE)


@pytest.fixture
def site() -> Iterator[tuple[Echo, str]]:
    """The site, and the WebSocket URL through the proxy."""
    echo = Echo()
    with (
        threaded(echo) as url,
        serve_asgi(Upstream(url), http=HardenedProtocol, ws=HardenedWebSocket, lifespan="on") as front,
    ):
        yield echo, front.replace("http", "ws")


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[ClientConnection]:
    async with websockets.connect(url, max_size=None, max_queue=1, compression=None) as connection:
        yield connection


def messages(count: int) -> list[str | bytes]:
    """Of all sizes up to 4 MiB, the small ones more often; text and bytes."""
    chance = random.Random(2)
    data = chance.randbytes(LARGEST)
    text = "".join(chance.choice("aä€𝄞") for _ in range(4096)) * 256
    made: list[str | bytes] = [b"", "", data, text]
    while len(made) < count:
        size = int(LARGEST ** (chance.random() ** 1.5))
        start = chance.randrange(LARGEST - size + 1)
        made.append(text[: size // 4] if chance.random() < 0.4 else data[start : start + size])
    chance.shuffle(made)
    return made


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_everything_comes_back_as_it_was_sent(count: int, site: tuple[Echo, str]) -> None:
    async def main() -> None:
        chance, sent = random.Random(3), messages(count)
        async with connected(site[1] + "/echo") as connection:

            async def send() -> None:
                for message in sent:
                    await connection.send(cut(message, chance))
                    if chance.random() < 0.05:
                        await (await connection.ping())

            sending = asyncio.create_task(send())
            for number, message in enumerate(sent):
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == message, f"message {number} of {len(message)}"
            await sending

    asyncio.run(main())


def test_a_client_that_does_not_read_slows_the_site(site: tuple[Echo, str]) -> None:
    echo, url = site

    async def main() -> None:
        async with connected(url + "/flood") as connection:
            held, still = -1, 0
            while still < 5:
                await asyncio.sleep(0.1)
                still, held = (still + 1, held) if echo.sent == held else (0, echo.sent)
                assert echo.sent < 64 << 20, "everything was read ahead"
            for _ in range(held // 65536 + 100):
                assert len(await connection.recv()) == 65536
            assert echo.sent > held
            connection.transport.abort()

    asyncio.run(main())


def test_a_site_that_does_not_read_slows_the_client(site: tuple[Echo, str]) -> None:
    echo, url = site
    total = 64 << 20

    async def main() -> None:
        async with connected(url + "/deaf") as connection:
            sent = 0
            with pytest.raises(TimeoutError):  # noqa: PT012 - how much was sent before is of interest
                while sent < total:
                    async with asyncio.timeout(0.7):
                        await connection.send(b"x" * 65536)
                    sent += 65536
            assert sent < total / 2, "everything was read ahead"
            echo.hear.set()
            while sent < total / 2:
                await connection.send(b"x" * 65536)
                sent += 65536
            # Nothing was lost, not even the message that was under way when we gave up waiting.
            closing = asyncio.create_task(connection.close())
            async with asyncio.timeout(PATIENCE):
                await closing

    asyncio.run(main())
