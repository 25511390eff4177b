"""The socket between workers and the recorder: both ends, and a plain client for commands.

A Unix stream socket, mode 0600. Messages are JSON behind four bytes of length, big-endian, at most ``MAX_FRAME`` bytes:

    {"hits": [[…], …], "dropped": 3, "refusals": {"400": 2}, "meter": {…}}
                                             what was seen, what was not even read, and, once a second, what was
                                             measured since the last time; no answer
    {"id": 7, "record": {…}}                 a consent record or a revocation; answered once it is on disk
    {"id": 8, "call": "breakdown", "with": {…}}
    {"id": 8, "result": …}                   or  {"id": 8, "error": "one line"}
    {"id": 9, "call": "revocations", "with": {"epoch": "…", "after": 0}}

Hits are fire-and-forget: a worker keeps at most ``capacity`` of them while the recorder is away, then drops the newest
and counts what it dropped. What was written to a recorder that dies before its next write to disk is lost: at most a
second of hits. Consent records and calls have their own connection, so that they never wait behind hits; so have the
revocations, for which every worker asks each second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestibule.core.errors import LinkError, VestibuleError
from vestibule.core.meter import Meter
from vestibule.core.revocations import Revocation, Revocations
from vestibule.core.visit import Hit

MAX_FRAME = 8 << 20
"""Bytes of a message; a longer one ends the connection."""

SOCKET = "recorder.sock"
"""The socket's name in the state folder."""

FLUSH_EVERY = 0.2
"""Seconds that a hit waits at most before it is sent."""

METER_EVERY = 1.0
"""Seconds between two messages with what was measured."""

ASK_EVERY = 1.0
"""Seconds between two questions for what has been revoked."""

STALE = 4.0
"""Seconds after which what was known of revocations is too old to go by."""

_BATCH = 500
_OWN = 10_000
_ASK_TIMEOUT = 2.0
_CALL_TIMEOUT = 60.0
_SEND_TIMEOUT = 5.0
_CLOSE_TIMEOUT = 3.0
TRY_AGAIN = 0.2
"""Seconds between two tries to reach a recorder that is away. To ask for a socket in a folder costs next to nothing,
and whatever waits here is lost with the worker: so it must go out as soon as there is somebody to take it."""
_LENGTH = struct.Struct(">I")

Message = dict[str, Any]
OnHits = Callable[[Sequence[Hit], int], Awaitable[None]]
OnRefusals = Callable[[Mapping[int, int]], None]
OnMeter = Callable[[Mapping[str, Any]], None]
OnRecord = Callable[[Mapping[str, Any]], Awaitable[None]]
OnCall = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


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
        self._asking = _Asking(path)
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
                reader, writer = await _connect(self._path)
            except OSError:
                await self._rest(TRY_AGAIN)
                continue
            try:
                await self._pump(reader, writer)
            except (OSError, TimeoutError):
                await self._rest(TRY_AGAIN)
            finally:
                await _hang_up(writer)

    async def record(self, record: Mapping[str, Any]) -> None:
        """Hand over a consent record or a revocation; returns once it is on disk. Raises LinkError after two seconds at
        the latest."""
        await self._asking.ask({"record": dict(record)}, _ASK_TIMEOUT)

    async def call(self, name: str, /, **params: Any) -> Any:
        """Ask the recorder something. Raises LinkError where it can't be reached, or says no."""
        return await self._asking.ask({"call": name, "with": params}, _CALL_TIMEOUT)

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
                writer.write(_frame(self._batch(last=last)))
                await asyncio.wait_for(writer.drain(), _SEND_TIMEOUT)
            if last:
                return
            if reader.at_eof() or writer.transport.is_closing():
                raise ConnectionResetError
            await self._rest(FLUSH_EVERY)

    def _is_due(self, *, last: bool) -> bool:
        """Whether what was measured is to be told."""
        return self.meter.counted and (last or time.monotonic() - self._metered >= METER_EVERY)

    def _batch(self, *, last: bool) -> Message:
        batch = [self._hits.popleft() for _ in range(min(_BATCH, len(self._hits)))]
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


class Mirror:
    """What has been revoked, as one worker knows it: what it revoked itself at once, the rest within seconds.

    While the recorder has not been heard for ``STALE`` seconds, anything may be revoked: ``fresh`` says so, and what
    depends on it stays closed.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._asking = _Asking(path)
        self._clock = clock
        self._heard: float | None = None
        self._epoch, self._after = "", 0
        self._own = Revocations(_OWN)
        self._known = self._coming = Revocations()

    @property
    def fresh(self) -> bool:
        """Whether it is known what was revoked, as of ``STALE`` seconds ago."""
        return self._heard is not None and self._clock() - self._heard < STALE

    def cover(self, marks: Sequence[str], signed_in: int) -> bool:
        """Whether something is revoked, as far as is known; see ``Revocations.cover``."""
        return self._own.cover(marks, signed_in) or self._known.cover(marks, signed_in)

    def add(self, marks: Sequence[str], when: int) -> None:
        """Revoke here at once (milliseconds since the epoch); to make it last is the caller's."""
        self._own.add(Revocation(mark, when) for mark in marks)

    async def learn(self) -> None:
        """Ask the recorder, again and again, until cancelled."""
        try:
            while True:
                begun = self._clock()
                try:
                    while await self._ask():
                        pass
                except LinkError:
                    await asyncio.sleep(ASK_EVERY / 4)
                    continue
                self._heard = begun
                await asyncio.sleep(ASK_EVERY)
        finally:
            await self._asking.close()

    async def _ask(self) -> bool:
        """Take over one page of the list; return whether there is more."""
        given = {"epoch": self._epoch, "after": self._after}
        answer = await self._asking.ask({"call": "revocations", "with": given}, _ASK_TIMEOUT)
        try:
            rows = [Revocation(str(mark), int(when)) for mark, when in answer["rows"]]
            epoch, after, floor, more = str(answer["epoch"]), int(answer["next"]), int(answer["floor"]), answer["more"]
        except (KeyError, TypeError, ValueError):
            raise LinkError("the recorder's list of revocations cannot be read") from None
        if epoch != self._epoch:
            # Another list: it holds all that the old one did, but for what is too old to matter. It takes its place
            # when it has come in full.
            self._epoch, self._coming = epoch, Revocations()
        self._coming.raise_floor(floor)
        self._coming.add(rows)
        self._after = after
        if more and rows:
            return True
        self._known = self._coming
        # What the recorder tells need not be held twice: this worker's own list is for what is not told yet.
        self._own.leave_to(self._known)
        return False


class Receiver:
    """The recorder's end: ``serve`` until cancelled, or ``close``."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(
        self,
        path: str,
        on_hits: OnHits,
        on_record: OnRecord,
        on_call: OnCall,
        on_refusals: OnRefusals | None = None,
        on_meter: OnMeter | None = None,
    ) -> None:
        """Take connections at ``path`` (a socket that a dead process left behind is replaced); returns at once.

        A handler's VestibuleError is answered with its message, any other error with its type only.
        """

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._connections[task] = writer
                task.add_done_callback(lambda ended: self._connections.pop(ended, None))
            try:
                while (message := await _read(reader)) is not None:
                    if "hits" in message:
                        if on_refusals is not None:
                            on_refusals(_refusals(message.get("refusals")))
                        if on_meter is not None and isinstance(message.get("meter"), dict):
                            on_meter(message["meter"])
                        await on_hits(_hits(message["hits"]), _number(message.get("dropped")))
                    elif "record" in message:
                        await _answer(writer, message, on_record(message["record"]))
                    elif "call" in message:
                        await _answer(writer, message, on_call(str(message["call"]), message.get("with") or {}))
            except (OSError, LinkError, TimeoutError):
                # Whoever speaks otherwise is no worker of ours; the connection ends.
                pass
            finally:
                await _hang_up(writer)

        _remove(path)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(connected, path)
        except OSError as error:
            raise LinkError(f"{path}: {error.strerror or error}") from None
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """Take no more connections, and end those there are; what arrived before is handled."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=_CLOSE_TIMEOUT)


def call(path: str, name: str, /, *, timeout: float = _CALL_TIMEOUT, **params: Any) -> Any:
    """Ask the recorder something, from a command. Raises LinkError where it can't be reached, or says no."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(_frame({"id": 1, "call": name, "with": params}))
            (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
            if length > MAX_FRAME:
                raise LinkError("the recorder's answer is too long")
            return _result(json.loads(_exactly(connection, length)))
    except (OSError, ValueError) as error:
        raise LinkError(f"the recorder cannot be reached: {getattr(error, 'strerror', None) or error}") from None


class _Asking:
    """A connection on which every message is answered. One question at a time: there are few."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._id = 0

    async def ask(self, message: Message, patience: float) -> Any:
        try:
            async with asyncio.timeout(patience), self._lock:
                return _result(await self._exchange(message))
        except (OSError, TimeoutError) as error:
            raise LinkError(f"the recorder cannot be reached: {type(error).__name__}") from None

    async def close(self) -> None:
        if self._streams is not None:
            await _hang_up(self._streams[1])
            self._streams = None

    async def _exchange(self, message: Message) -> Message:
        self._id += 1
        fresh = self._streams is None
        while True:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(self._path)
            reader, writer = self._streams
            try:
                writer.write(_frame({"id": self._id, **message}))
                await writer.drain()
                answer = await _read(reader)
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


def _frame(message: Message) -> bytes:
    data = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(data) > MAX_FRAME:
        raise LinkError("the message is too long")
    return _LENGTH.pack(len(data)) + data


async def _read(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message, or None where the other end has hung up."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise LinkError("the message is too long")
        message = json.loads(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    except ValueError:
        raise LinkError("the message is not JSON") from None
    if not isinstance(message, dict):
        raise LinkError("the message is no object")
    return message


async def _answer(writer: asyncio.StreamWriter, message: Message, doing: Awaitable[Any]) -> None:
    answer: Message = {"id": message.get("id")}
    try:
        answer["result"] = await doing
        frame = _frame(answer)
    except VestibuleError as error:
        frame = _frame({"id": message.get("id"), "error": str(error)})
    except Exception as error:
        frame = _frame({"id": message.get("id"), "error": f"the recorder failed: {type(error).__name__}"})
    writer.write(frame)
    await asyncio.wait_for(writer.drain(), _SEND_TIMEOUT)


def _result(answer: Message) -> Any:
    if "error" in answer:
        raise LinkError(str(answer["error"]))
    return answer.get("result")


def _hits(rows: Any) -> list[Hit]:
    if not isinstance(rows, list):
        raise LinkError("hits are no list")
    try:
        return [Hit.from_json(row) for row in rows]
    except (TypeError, ValueError):
        raise LinkError("not a hit") from None


def _refusals(value: Any) -> dict[int, int]:
    found = value.items() if isinstance(value, dict) else ()
    return {int(status): _number(count) for status, count in found if status.isdigit() and len(status) == 3}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise LinkError("the recorder hung up")
        data += part
    return bytes(data)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


async def _connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(_ASK_TIMEOUT):
        return await asyncio.open_unix_connection(path)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1)
