"""Load with faults: clients that check every body, slow ones beside them, and what a process holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault_site import body_of
from tests.servers import ROOT, wait_until

PATIENCE = 30.0
"""Seconds after which a request that has neither an answer nor an end counts as hanging."""


class BrokenError(Exception):
    """The connection ended before the answer was whole, visibly."""


@dataclass
class Tally:
    """What became of requests. wrong: those that got another's body, or a part of their own that looked whole."""

    ok: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    hanging: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.ok + self.refused.total() + self.broken + self.hanging + len(self.wrong)

    def percentile(self, share: float) -> float:
        """Seconds that this share of the answered requests took at most."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    def __str__(self) -> str:
        return (
            f"{self.total} requests: {self.ok} whole, {dict(self.refused)} refused, {self.broken} broken off, "
            f"{self.hanging} hanging, {len(self.wrong)} wrong; p50 {self.percentile(0.5) * 1000:.1f} ms, "
            f"p99 {self.percentile(0.99) * 1000:.1f} ms"
        )


class Client:
    """One kept connection to the proxy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body. Raises BrokenError where there was no whole answer, after which the connection is new."""
        try:
            reader, writer = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
            self._streams = reader, writer
            length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
            head = f"{method} {target} HTTP/1.1\r\nHost: example.test\r\n{length}\r\n"
            writer.write(head.encode() + body)
            return await self._answer(reader)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.close()
            raise BrokenError from None

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if b"transfer-encoding" in fields:
            body = b""
            while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = await reader.readexactly(int(fields[b"content-length"]))
        if fields.get(b"connection") == b"close":
            self.close()
        return status, body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


Kind = tuple[str, str, int]
"""Method, first segment of the path, and size of the body."""

PLAIN: tuple[Kind, ...] = (
    ("GET", "id", 20),
    ("GET", "id", 1000),
    ("GET", "id", 1000),
    ("GET", "id", 1000),
    ("GET", "id", 60_000),
    ("POST", "echo", 500),
    ("POST", "echo", 30_000),
    ("GET", "chunks", 40_000),
)
BREAKING: tuple[Kind, ...] = (
    *PLAIN,
    ("GET", "broken", 50_000),
    ("GET", "headless", 0),
    ("GET", "garbage", 0),
)


async def load(port: int, count: int, lanes: int, kinds: tuple[Kind, ...] = PLAIN, seed: int = 1) -> Tally:
    """``count`` requests over ``lanes`` connections, each of a kind drawn from ``kinds``; every body is checked."""
    tally = Tally()
    numbers = iter(range(1, count + 1))
    draw = random.Random(seed)

    async def lane() -> None:
        client = Client(port)
        for number in numbers:
            await _one(client, number, draw.choice(kinds), tally)
        client.close()

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return tally


async def _one(client: Client, number: int, kind: Kind, tally: Tally) -> None:
    method, name, size = kind
    expected = body_of(number, size)
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            target = f"/{name}/{number}" + (f"?{size}" if method == "GET" else "")
            status, body = await client.ask(method, target, expected if method == "POST" else b"")
    except BrokenError:
        tally.broken += 1
        return
    except TimeoutError:
        client.close()
        tally.hanging += 1
        return
    if status != 200:
        tally.refused[status] += 1
    elif body == expected:
        tally.ok += 1
        tally.seconds.append(time.perf_counter() - begun)
    else:
        tally.wrong.append(f"{name} {number}: {body[:40]!r} of {len(body)} bytes, not {size}")


# Slow clients, each of which goes on for as long as it is let.


async def slow_head(port: int) -> None:
    """Sends a header byte by byte."""
    await _drip(port, b"GET / HTTP/1.1\r\nHost: example.test\r\nX: ")


async def slow_body(port: int) -> None:
    """Announces a body and sends it byte by byte."""
    await _drip(port, b"POST /echo/1 HTTP/1.1\r\nHost: example.test\r\nContent-Length: 1000\r\n\r\n")


async def _drip(port: int, beginning: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(beginning)
        while not reader.at_eof():
            writer.write(b"x")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await reader.read(1000)
    finally:
        writer.transport.abort()


async def slow_reader(port: int) -> None:
    """Asks for much and takes a little of it now and then."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, b"GET /id/1?1000000 HTTP/1.1\r\nHost: example.test\r\n\r\n")
        while await loop.sock_recv(sock, 100):  # noqa: ASYNC110 - nothing tells us when to read on: we are slow
            await asyncio.sleep(1)
    finally:
        sock.close()


SLOW: tuple[Callable[[int], Awaitable[None]], ...] = (slow_head, slow_body, slow_reader)


@contextlib.asynccontextmanager
async def slow_clients(port: int, count: int):  # type: ignore[no-untyped-def]
    """``count`` slow clients of all kinds while the block runs; who is cut off comes again. Yields how many are
    connected now, as a function."""
    connected = 0

    async def stay(number: int) -> None:
        nonlocal connected
        while True:
            connected += 1
            with contextlib.suppress(OSError):
                await SLOW[number % len(SLOW)](port)
            connected -= 1
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(stay(number)) for number in range(count)]
    try:
        yield lambda: connected
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# Processes


@contextlib.contextmanager
def fault_site(port: int) -> Iterator[Callable[[], int]]:
    """The site as a process. Yields a function that kills it with SIGKILL and starts another in its place at once;
    it returns how often that has happened."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "tests.fault_site", str(port)]
        path = os.pathsep.join((str(ROOT), str(ROOT / "proxy")))
        running.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}))

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        wait_until(answers, "the site")

    def again() -> int:
        running[-1].kill()
        running[-1].wait()
        start()
        return len(running) - 1

    start()
    try:
        yield again
    finally:
        running[-1].kill()
        running[-1].wait()


@dataclass(frozen=True)
class Held:
    """What a process holds. memory: resident bytes. cpu: seconds of processor time so far."""

    files: int
    memory: int
    cpu: float

    @classmethod
    def of(cls, pid: int) -> Held:
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return cls(len(list(Path(f"/proc/{pid}/fd").iterdir())), kilobytes * 1024, ticks / os.sysconf("SC_CLK_TCK"))
