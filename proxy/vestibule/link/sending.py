"""A worker's end: what was seen, what was measured, and what must be on disk before a visitor is answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from vestibule.core.errors import LinkError
from vestibule.core.meter import Meter
from vestibule.core.visit import Hit
from vestibule.link.asking import ASK_TIMEOUT, CALL_TIMEOUT, Asking, connect, hang_up
from vestibule.link.frames import SEND_TIMEOUT, Message, pack, read
from vestibule.link.mirror import Mirror
from vestibule.link.unkept import Unkept

FLUSH_EVERY = 0.2
"""Seconds that a hit waits at most before it is sent."""
METER_EVERY = 1.0
"""Seconds between two messages with what was measured."""
TRY_AGAIN = 0.2
"""Seconds between two tries to reach a recorder that is away. To ask for a socket in a folder costs next to nothing,
and whatever waits here or is held is lost with the worker: so it must go out as soon as there is somebody to take
it."""
END_PATIENCE = 1.0
"""Seconds that a worker that ends waits for what it handed over to be on disk."""
HELD_PATIENCE = 2.0
"""Seconds that a worker that holds much waits for some of it to be on disk, before it hands over more: a backlog comes
faster than any disk takes it. It is longer than a write takes; a recorder that says nothing for so long cannot write,
and is given all there is, for it has more memory."""
BATCH = 64
"""Hits in a message: to write them down takes a third of a millisecond, in which no request goes on."""


class Sender:
    """A worker's end.

    path: the recorder's socket. capacity: hits that are kept while the recorder is away. What was handed over is held
    until it is on the recorder's disk, and handed over once more to a recorder that comes after one that died; it tells
    by the sender's name and the message's number what it has counted already.
    """

    def __init__(self, path: str, *, capacity: int = 20_000) -> None:
        self._path = path
        self._capacity = capacity
        self._hits: deque[Hit] = deque()
        self._begin()
        self._news = asyncio.Event()
        self._patient = True
        self._told = 0
        self._refusals: Counter[int] = Counter()
        self._metered = 0.0
        self.meter = Meter()
        """What this worker measures; told, and emptied, once a second while the recorder is there."""
        self._closing = asyncio.Event()
        self._asking = Asking(path)
        self.revoked = Mirror(path)
        """What has been revoked, as this worker knows it."""
        self.dropped = 0
        """Hits that were not sent because the buffer was full, since the start."""

    def _begin(self) -> None:
        """Be a sender that nobody has heard of."""
        self._process = os.getpid()
        self._name = secrets.token_hex(8)
        self._number = 0
        self._unkept = Unkept()

    def send(self, hit: Hit) -> None:
        """Take a hit along; never waits, never raises."""
        if len(self._hits) >= self._capacity:
            self.dropped += 1
        else:
            self._hits.append(hit)

    def refused(self, status: int) -> None:
        """Count a message that was refused with ``status``; nothing else is known of it, or told."""
        self._refusals[status] += 1

    async def run(self) -> None:
        """Send what there is, again and again, until ``close``; then once more. Reconnects for ever. Meanwhile it
        learns what is revoked."""
        if os.getpid() != self._process:
            # Forked since, as by a server that loads the app before it has workers: they would all count as one, each
            # taking the others' numbers.
            self._begin()
        learning = asyncio.create_task(self.revoked.learn())
        try:
            await self._send_all()
        finally:
            learning.cancel()
            await asyncio.gather(learning, return_exceptions=True)

    async def _send_all(self) -> None:
        last = False
        while not last:
            # Whoever is told to end while the recorder is away looks for it once more.
            last = self._closing.is_set()
            try:
                reader, writer = await connect(self._path)
            except OSError:
                await self._rest(TRY_AGAIN)
                continue
            try:
                await self._pump(reader, writer)
                return
            except (OSError, TimeoutError):
                # Whoever ends waits too: it looks once only, and the next one has to come first.
                if not last:
                    await asyncio.sleep(TRY_AGAIN)
            finally:
                await hang_up(writer)

    async def record(self, record: Mapping[str, Any]) -> None:
        """Hand over a consent record or a revocation; returns once it is on disk. Raises LinkError after two seconds at
        the latest."""
        await self._asking.ask({"record": dict(record)}, ASK_TIMEOUT)

    async def call(self, name: str, /, **params: Any) -> Any:
        """Ask the recorder something. Raises LinkError where it can't be reached, or says no."""
        return await self._asking.ask({"call": name, "with": params}, CALL_TIMEOUT)

    async def close(self) -> None:
        """Let ``run`` send the rest and end."""
        self._closing.set()
        await self._asking.close()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hearing = asyncio.create_task(self._hear(reader))
        hearing.add_done_callback(lambda _: self._news.set())
        self._patient = True
        try:
            for number, frame in self._unkept.frames():
                if number in self._unkept:
                    await self._write(writer, hearing, frame)
            while True:
                last = self._closing.is_set()
                if self.dropped > self._told or self._refusals or self._is_due(last=last):
                    await self._write(writer, hearing, pack(self._told_of_others(last=last)))
                while self._hits:
                    await self._wait_for_room(hearing)
                    for frame in self._frames():
                        await self._write(writer, hearing, frame)
                if last:
                    await self._end(writer, hearing)
                    return
                if hearing.done():
                    raise ConnectionResetError
                await self._rest(FLUSH_EVERY)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Take note of what is on the recorder's disk, until it hangs up."""
        with contextlib.suppress(LinkError, OSError):
            while (message := await read(reader)) is not None:
                number = message.get("kept")
                if isinstance(number, int):
                    self._unkept.kept(number)
                    self._patient = True
                self._news.set()

    async def _wait_for_room(self, hearing: asyncio.Task[None]) -> None:
        """Let some of what is held get to the disk. In vain once, it is not waited again before something is kept: a
        recorder whose disk is full takes what comes into its memory."""
        if not self._patient:
            return
        try:
            async with asyncio.timeout(HELD_PATIENCE):
                while self._unkept.full and not hearing.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._patient = False

    async def _end(self, writer: asyncio.StreamWriter, hearing: asyncio.Task[None]) -> None:
        """Wait until all is on disk, for whoever stops the workers stops the recorder next. Raises ConnectionResetError
        where the recorder dies before."""
        if not len(self._unkept):
            return
        await self._write(writer, hearing, self._numbered([], last=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                while len(self._unkept) and not hearing.done():
                    self._news.clear()
                    await self._news.wait()
        if len(self._unkept) and hearing.done():
            raise ConnectionResetError

    async def _write(self, writer: asyncio.StreamWriter, hearing: asyncio.Task[None], frame: bytes) -> None:
        # A recorder that has hung up would take what is written now with it.
        if hearing.done() or writer.transport.is_closing():
            raise ConnectionResetError
        writer.write(frame)
        await asyncio.wait_for(writer.drain(), SEND_TIMEOUT)
        await asyncio.sleep(0)

    def _is_due(self, *, last: bool) -> bool:
        """Whether what was measured is to be told."""
        return self.meter.counted and (last or time.monotonic() - self._metered >= METER_EVERY)

    def _frames(self) -> list[bytes]:
        """The next hits as they are sent, held until they are kept: each for itself where together they are too long.
        One that alone is so is dropped: whoever asks may write what they like into their fields, and must not end the
        counting of others. All are held before the first is written, for the connection may end with any of them."""
        hits = [self._hits.popleft() for _ in range(min(BATCH, len(self._hits)))]
        with contextlib.suppress(LinkError):
            return [self._numbered([hit.to_json() for hit in hits])]
        frames: list[bytes] = []
        for place, hit in enumerate(hits):
            if frames and self._unkept.full:
                # Beyond that they would drive one another out.
                self._hits.extendleft(reversed(hits[place:]))
                break
            try:
                frames.append(self._numbered([hit.to_json()]))
            except LinkError:
                self.dropped += 1
        return frames

    def _numbered(self, hits: list[Any], *, last: bool = False) -> bytes:
        """Raises LinkError where the message is too long."""
        message: Message = {"hits": hits, "from": self._name, "number": self._number + 1}
        frame = pack({**message, "last": True} if last else message)
        self._number += 1
        self._unkept.add(self._number, frame)
        return frame

    def _told_of_others(self, *, last: bool) -> Message:
        """What else there is to tell; it is told once, whoever hears it."""
        dropped, self._told = self.dropped - self._told, self.dropped
        refusals, self._refusals = self._refusals, Counter()
        message: Message = {
            "hits": [],
            "dropped": dropped,
            "refusals": {str(status): count for status, count in refusals.items()},
        }
        if self._is_due(last=last):
            self._metered = time.monotonic()
            message["meter"] = self.meter.take()
        return message
