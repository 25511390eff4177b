"""One connection to the upstream: an httptools parser on an asyncio transport.

It carries one exchange at a time. The reader sees the head, then pieces of body; what comes faster than it is taken
stays within ``Limits.buffer``, after which the socket is not read. Nothing the upstream says outside an exchange is
believed: the connection is closed instead, since such bytes would become the answer to somebody else's request.

Waits have no timer of their own: the pool calls ``sweep`` every tick, which compares what has moved since.
"""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import httptools

from vestibule.core.headers import Header
from vestibule.upstream.faults import Cause, UpstreamError
from vestibule.upstream.limits import Limits

if TYPE_CHECKING:
    from vestibule.upstream.body import Moving
    from vestibule.upstream.pool import Pool

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

PIECE = 65536
"""Bytes of body to which small pieces are joined, to be passed on at once."""

TURNS = 2
"""Turns of the event loop for which the rest of an answer of that size is waited for when its head is here: no time at
all where there is nothing else to do."""

MAX_INTERIM = 16
"""1xx answers that may come before the final one (RFC 9110, 15.2)."""

_GLANCED = 8192  # of a first read, as far as a plain head may reach
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Framing(enum.Enum):
    """How the end of an answer's body is known (RFC 9112, 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Connection(asyncio.BufferedProtocol):
    """See the module. Made by the pool, never shared between exchanges that overlap."""

    __slots__ = (
        "_farewell",
        "_fields",
        "_fresh_parser",
        "_heard",
        "_held",
        "_interim",
        "_listening",
        "_loop",
        "_no_body",
        "_noise",
        "_paused",
        "_pool",
        "_quiet_since",
        "_read",
        "_waiter",
        "_watcher",
        "_write_paused_since",
        "_write_waiter",
        "body",
        "buffered",
        "busy",
        "continued",
        "done",
        "fault",
        "framing",
        "head_done",
        "headers",
        "left",
        "limits",
        "lost",
        "moved",
        "parser",
        "permission",
        "public",
        "reusable",
        "sending",
        "status",
        "transport",
        "uses",
        "watched",
    )

    def __init__(self, pool: Pool, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self.limits = limits
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.parser: Any = None
        self._fresh_parser = False
        self.uses = 0
        self.lost = False
        self.busy = False
        self.done = True
        self.head_done = True
        self.reusable = True
        self.fault: UpstreamError | None = None
        self.status = 0
        self.headers: Sequence[Header] = ()
        self.public: tuple[Header, ...] | None = None
        self._fields: list[Header] = []
        self.framing = Framing.NONE
        self.body: list[bytes | memoryview] = []
        self.buffered = 0
        self.continued = False
        self.sending = False
        self.moved = False
        self.permission: asyncio.Future[None] | None = None
        self.watched: Receive | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._farewell: asyncio.Future[None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._write_paused_since: float | None = None
        self._quiet_since = 0.0
        self._paused = False
        self._heard = False
        self._interim = 0
        self.left = 0
        self._listening = False
        self._held: bool | None = None
        self._noise = 0
        self._read = 0
        self._no_body = False

    # The exchange, as the app drives it.

    def begin(self, *, no_body: bool) -> None:
        """Start an exchange. ``no_body``: the answer has none whatever its fields say (HEAD)."""
        self.busy = True
        self.uses += 1
        if not self._fresh_parser:
            self.parser = httptools.HttpResponseParser(self)
        self._fresh_parser = False
        self._no_body = no_body
        self.done = self.head_done = self.continued = self.sending = self._heard = False
        self.reusable = True
        self.fault = None
        self.status = 0
        self.headers = ()
        self.public = None
        self._fields = []
        self._interim = self._noise = self._read = self.left = 0
        self._quiet_since = self._loop.time()
        self.moved = self._listening = False
        self._held = None
        if self.lost:
            self.fail(Cause.RESET)

    def write(self, data: bytes) -> None:
        if not self.lost:
            self.moved = True
            self.transport.write(data)

    async def drained(self) -> None:
        """Return when the transport takes more."""
        while self._write_paused_since is not None and not self.lost:
            self._write_waiter = self._loop.create_future()
            try:
                await self._write_waiter
            finally:
                self._write_waiter = None

    def news(self) -> asyncio.Future[None]:
        """To be awaited while the head is not done, or there is neither body to ``take`` nor its end; raises
        UpstreamError."""
        if self.fault is not None:
            raise self.fault
        self._waiter = self._loop.create_future()
        return self._waiter

    def take(self) -> bytes | memoryview:
        """The next of the body that is here, maybe nothing: a piece as it was read, or several of at most ``PIECE``
        bytes."""
        body = self.body
        if self.buffered <= PIECE:
            if not body:
                return b""
            self.body = []
            self.buffered = 0
            piece = body[0] if len(body) == 1 else b"".join(body)
        else:
            count, size = 1, len(body[0])
            while count < len(body) and size + len(body[count]) <= PIECE:
                size += len(body[count])
                count += 1
            piece = body[0] if count == 1 else b"".join(body[:count])
            del body[:count]
            self.buffered -= size
        if self._paused and self.buffered <= self.limits.buffer // 2:
            self._paused = False
            self.moved = True
            self._pool.set_back(self)
            if not self.lost:
                self.transport.resume_reading()
        return piece

    def rest(self) -> list[bytes | memoryview]:
        """All of the body that is here, in such pieces."""
        pieces = []
        while self.body:
            pieces.append(self.take())
        return pieces

    # A body that is moved past us.

    @property
    def moving(self) -> Moving:
        return self._pool.moving

    def pause(self) -> None:
        """Leave the socket to somebody else, until ``put_back`` or the end of the exchange."""
        self._paused = True
        self.transport.pause_reading()

    def put_back(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Go on as before, with these pieces to be taken first."""
        self.body = [*pieces]
        self.buffered = sum(map(len, pieces))
        self._paused = False
        self.transport.resume_reading()

    def passed(self, size: int) -> None:
        """So many bytes of the body were taken from the socket."""
        self.moved = True
        self.left -= size
        if not self.left:
            self.done = True

    def settle(self, *, nothing_follows: bool) -> None:
        """All of the body was taken. What follows it would be the answer to somebody else's request."""
        self.reusable = self.reusable and nothing_follows

    def check(self) -> None:
        """Raise what has ended the exchange before its time."""
        if self.fault is not None:
            raise self.fault

    async def readable(self, descriptor: int) -> None:
        """Wait for the socket, of which this is another descriptor; raises UpstreamError."""
        waiter = self.news()
        self._loop.add_reader(descriptor, self._wake)
        self._listening = True
        try:
            await waiter
        finally:
            self._listening = False
            self._loop.remove_reader(descriptor)
        self.check()

    async def with_client(self, waiting: Awaitable[None]) -> None:
        """Wait for the client, while the upstream has nothing to do with us; raises UpstreamError, too."""
        self._pool.set_aside(self)
        try:
            await waiting
        finally:
            self._pool.set_back(self)
        self.check()

    async def breathe(self) -> None:
        """Give way to all others; raises UpstreamError."""
        await asyncio.sleep(0)
        self.check()

    def finish(self) -> bool:
        """End the exchange; whether the connection may carry another."""
        self.busy = False
        self._pool.set_back(self)
        self.watched = None
        self.permission = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        clean = self.done and self.reusable and not self.lost and not self.sending and self.fault is None
        # It was raised where we are known: whatever it has passed through would stay until the collector comes.
        self.fault = None
        if self.body:
            self.body = []
            self.buffered = 0
        if not clean:
            self.abort()
        elif self._paused:
            self._paused = False
            self.transport.resume_reading()
        return clean

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def closed(self) -> None:
        """Return when the connection has ended, which needs an ``abort``."""
        while not self.lost:
            self._farewell = self._farewell or self._loop.create_future()
            await self._farewell

    def fail(self, cause: Cause) -> None:
        """End the exchange with ``cause``: the reader learns it once it has taken what came before."""
        if self.done or self.fault is not None:
            return
        self.fault = UpstreamError(cause, stale=cause is Cause.RESET and not self._heard and self.uses > 1)
        self._wake()

    # Time.

    def sweep(self, now: float) -> None:
        """Called every tick while an exchange is under way."""
        if self.watched is not None and self._watcher is None:
            self._watcher = self._loop.create_task(self._watch(self.watched))
        if self._write_paused_since is not None and now - self._write_paused_since > self.limits.write:
            self._time_out(Cause.STALLED)
        elif self.moved or (self._paused and not self._listening) or self.done:
            self.moved = False
            self._quiet_since = now
        elif self.head_done:
            if now - self._quiet_since > self.limits.read:
                self._time_out(Cause.STALLED)
        elif not self.sending and now - self._quiet_since > self.limits.first_byte:
            self._time_out(Cause.SILENT)

    def _time_out(self, cause: Cause) -> None:
        self.fail(cause)
        self.abort()

    async def _watch(self, receive: Receive) -> None:
        """Give up when the client does, which on a long wait nothing else would tell."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watcher = None
        if self.busy:
            self.fail(Cause.CLIENT_GONE)
            self.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.busy and not self.done:
            if self.head_done and self.framing is Framing.CLOSE and exc is None and self.fault is None:
                self.done = True
                self._wake()
            else:
                self.fail(Cause.RESET)
        self._release_writer()
        if self._farewell is not None:
            self._farewell.set_result(None)
        self._pool.gone(self)
        self.parser = None  # it refers back to us, and nothing comes any more

    def pause_writing(self) -> None:
        self._write_paused_since = self._loop.time()

    def resume_writing(self) -> None:
        self._release_writer()

    def _release_writer(self) -> None:
        self._write_paused_since = None
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._pool.buffers.current

    def buffer_updated(self, nbytes: int) -> None:
        if not self.busy or self.done:
            # Bytes that answer no request.
            self.reusable = False
            self.transport.abort()
            return
        buffers = self._pool.buffers
        if self.left:
            self._raw(buffers.taken(nbytes))
        elif self._heard or not self._glance(nbytes):
            self._parse(buffers.current[:nbytes])
        self.moved = self._heard = True
        waiter = self._waiter
        if waiter is not None and (self.body or self.done or self.head_done):
            if not self.done and self._hold_on():
                return
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        elif waiter is None and (self._paused or self.done):
            self._pool.set_aside(self)  # the exchange is with its client

    def _hold_on(self) -> bool:
        """Whether the rest of a small answer is waited for: servers write its head and its body one right after the
        other, and what comes in two costs twice as much to pass on."""
        if self._held is None and 0 < self.left <= PIECE - self.buffered:
            self._held = True
            self._loop.call_soon(self._go_on, TURNS)
        return self._held is True

    def _go_on(self, turns: int) -> None:
        if turns and self._held:
            self._loop.call_soon(self._go_on, turns - 1)
        else:
            self._held = False
            self._wake()

    def _glance(self, nbytes: int) -> bool:
        """Read an answer's head, with which what was read begins, if it is a plain one; whether it is."""
        buffers, limits = self._pool.buffers, self.limits
        head = self._pool.glance.read(bytes(buffers.current[: min(nbytes, _GLANCED)]))
        if head is None or len(head.headers) > limits.header_count or head.size > limits.header_bytes:
            return False
        bodiless = self._no_body or head.length == 0 or head.status in (204, 304)
        if head.length is None and not bodiless:
            return False
        self.status, self.headers, self.public = head.status, head.headers, head.public
        self.framing = Framing.NONE if bodiless else Framing.LENGTH
        self.head_done = True
        self._fresh_parser = True  # it has seen nothing of this
        self._permit()
        if head.length is None or bodiless:
            self.done = True
            self.reusable = head.size == nbytes
        else:
            self.left = head.length
            if head.size < nbytes:
                self._raw(buffers.taken(nbytes, head.size))
        return True

    def _raw(self, data: bytes | memoryview) -> None:
        """A body of known length needs no parser once it has begun: its pieces go on as they came."""
        if len(data) > self.left:
            data = data[: self.left]
            self.reusable = False
        self.left -= len(data)
        self.body.append(data)
        self.buffered += len(data)
        if not self.left:
            self.done = True
        elif self.buffered >= self.limits.buffer and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _parse(self, data: memoryview) -> None:
        before = self.buffered
        self._read += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.reusable = False
            if not self.done:
                self.fail(Cause.GARBAGE)
                self.transport.abort()
            return
        if self.done or self.fault is not None:
            return
        if self.framing is Framing.LENGTH and self.head_done:
            self.left -= self.buffered - before
        elif self.buffered == before:
            # Neither body nor an end: fields, chunk extensions or trailers.
            self._noise += len(data)
            if self._noise > self.limits.header_bytes:
                self.fail(Cause.TOO_LARGE)
                self.transport.abort()
        else:
            self._noise = 0
        if self.buffered >= self.limits.buffer and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    # httptools

    def on_message_begin(self) -> None:
        if self.done:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:  # else a trailer
            self._fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if self.done:
            self.reusable = False
        elif status < 200:
            self._interim_answer(status)
        else:
            self._final_answer(status)

    def _interim_answer(self, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101 or self._interim > MAX_INTERIM:
            self._refuse(Cause.GARBAGE)
            return
        self._fields = []
        if status == 100:
            self.continued = True
            self._permit()

    def _final_answer(self, status: int) -> None:
        version = self.parser.get_http_version()
        headers = self.headers = self._fields
        if len(headers) > self.limits.header_count or (
            self._read > self.limits.header_bytes
            and sum(len(name) + len(value) for name, value in headers) > self.limits.header_bytes
        ):
            self._refuse(Cause.TOO_LARGE)
            return
        framing = self._framing(status, version)
        if framing is None or status > 599 or version not in ("1.1", "1.0"):
            self._refuse(Cause.GARBAGE)
            return
        self.status = status
        self.framing = framing
        self.head_done = True
        self.reusable = self.parser.should_keep_alive()
        if framing is Framing.NONE:
            # The parser may expect a body that will not come: the next answer gets a new one.
            self.done = True
        elif framing is Framing.CLOSE:
            self.reusable = False
        self._permit()

    def _framing(self, status: int, version: str) -> Framing | None:
        """RFC 9112, 6.3; None where it is ambiguous."""
        length: bytes | None = None
        coding: bytes | None = None
        for name, value in self.headers:
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                if length is not None:
                    return None
                length = value
            elif coding is not None:
                return None
            else:
                coding = value
        if length is not None and not _LENGTH.fullmatch(length):
            return None
        if coding is not None and (length is not None or coding.lower() != b"chunked" or version == "1.0"):
            return None
        if self._no_body or status == 204 or status == 304:
            return Framing.NONE
        if coding is not None:
            return Framing.CHUNKED
        if length is None:
            return Framing.CLOSE
        self.left = int(length)
        return Framing.LENGTH if self.left else Framing.NONE

    def on_body(self, data: bytes) -> None:
        if self.done:
            self.reusable = False
            return
        self.body.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head_done and not self.done:
            self.done = True
            self.left = 0
            self._fresh_parser = True

    def _refuse(self, cause: Cause) -> None:
        self.reusable = False
        self.fail(cause)
        self.transport.abort()

    # Waking whoever waits.

    def _wake(self) -> None:
        self._permit()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _permit(self) -> None:
        if self.permission is not None and not self.permission.done():
            self.permission.set_result(None)
