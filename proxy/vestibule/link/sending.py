"""A worker's end: what was seen, what was measured, and what must be on disk before a visitor is answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

from vestibule.core.errors import LinkError
from vestibule.core.meter import Meter
from vestibule.core.visit import Hit
from vestibule.link.asking import ASK_TIMEOUT, CALL_TIMEOUT, Asking, connect, hang_up
from vestibule.link.frames import SEND_TIMEOUT, Message, pack
from vestibule.link.mirror import Mirror

FLUSH_EVERY = 0.2
"""Seconds that a hit waits at most before it is sent."""
METER_EVERY = 1.0
"""Seconds between two messages with what was measured."""
TRY_AGAIN = 0.2
"""Seconds between two tries to reach a recorder that is away. To ask for a socket in a folder costs next to nothing,
and whatever waits here is lost with the worker: so it must go out as soon as there is somebody to take it."""
BATCH = 64
"""Hits in a message: to write them down takes a third of a millisecond, in which no request goes on."""


class Sender:
    """A worker's end.

    path: the recorder's socket. capacity: hits that are kept while the recorder is away.
    """

    def __init__(self, path: str, *, capacity: int = 20_000) -> None:
        self._path = path
        self._capacity = capacity
        self._hits: deque[Hit] = deque()
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
        learning = asyncio.create_task(self.revoked.learn())
        try:
            await self._send_all()
        finally:
            learning.cancel()
            await asyncio.gather(learning, return_exceptions=True)

    async def _send_all(self) -> None:
        while not self._closing.is_set():
            try:
                reader, writer = await connect(self._path)
            except OSError:
                await self._rest(TRY_AGAIN)
                continue
            try:
                await self._pump(reader, writer)
            except (OSError, TimeoutError):
                await self._rest(TRY_AGAIN)
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
        while True:
            last = self._closing.is_set()
            while self._hits or self._refusals or self._is_due(last=last):
                # A recorder that has hung up would take what is written now with it.
                if reader.at_eof() or writer.transport.is_closing():
                    raise ConnectionResetError
                for frame in self._frames(self._batch(last=last)):
                    writer.write(frame)
                    await asyncio.wait_for(writer.drain(), SEND_TIMEOUT)
                    await asyncio.sleep(0)
            if last:
                return
            if reader.at_eof() or writer.transport.is_closing():
                raise ConnectionResetError
            await self._rest(FLUSH_EVERY)

    def _is_due(self, *, last: bool) -> bool:
        """Whether what was measured is to be told."""
        return self.meter.counted and (last or time.monotonic() - self._metered >= METER_EVERY)

    def _frames(self, message: Message) -> Iterator[bytes]:
        """A message as it is sent: each hit for itself where together they are too long. One that alone is so is
        dropped: whoever asks may write what they like into their fields, and must not end the counting of others."""
        try:
            yield pack(message)
            return
        except LinkError:
            hits, message["hits"] = message["hits"], []
        yield pack(message)
        for hit in hits:
            try:
                frame = pack({"hits": [hit]})
            except LinkError:
                self.dropped += 1
            else:
                yield frame

    def _batch(self, *, last: bool) -> Message:
        batch = [self._hits.popleft() for _ in range(min(BATCH, len(self._hits)))]
        dropped, self._told = self.dropped - self._told, self.dropped
        refusals, self._refusals = self._refusals, Counter()
        message: Message = {
            "hits": [hit.to_json() for hit in batch],
            "dropped": dropped,
            "refusals": {str(status): count for status, count in refusals.items()},
        }
        if self._is_due(last=last):
            self._metered = time.monotonic()
            message["meter"] = self.meter.take()
        return message
