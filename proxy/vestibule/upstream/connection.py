"""One connection to the upstream, on an asyncio transport.

It carries one exchange at a time. The reader sees the head, then pieces of body; what comes faster than it is taken
stays within ``Limits.buffer``, after which the socket is not read. Nothing the upstream says outside an exchange is
believed: the connection is closed instead, since such bytes would become the answer to somebody else's request.

Waits have no timer of their own: the pool calls ``sweep`` every tick, which compares what has moved since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from vestibule.upstream.answer import Answer, Framing
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


class Connection(Answer):
    """See the module. Made by the pool, never shared between exchanges that overlap."""

    __slots__ = (
        "_farewell",
        "_held",
        "_listening",
        "_loop",
        "_quiet_since",
        "_waiter",
        "_watcher",
        "_write_paused_since",
        "_write_waiter",
        "busy",
        "lost",
        "moved",
        "permission",
        "sending",
        "uses",
        "watched",
    )

    def __init__(self, pool: Pool, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(pool, limits)
        self._loop = loop
        self.uses = 0
        self.lost = False
        self.busy = False
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
        self._listening = False
        self._held: bool | None = None

    # The exchange, as the app drives it.

    def begin(self, *, no_body: bool) -> None:
        """Start an exchange. ``no_body``: the answer has none whatever its fields say (HEAD)."""
        self.busy = True
        self.uses += 1
        self.expect(no_body=no_body)
        self.sending = self.moved = self._listening = False
        self._held = None
        self._quiet_since = self._loop.time()
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
        if self._pool.aside:
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

    def buffer_updated(self, nbytes: int) -> None:
        if not self.busy or self.done:
            # Bytes that answer no request.
            self.reusable = False
            self.transport.abort()
            return
        self.read(nbytes)
        self.moved = True
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
        if not self._held:
            return  # of an exchange that is over
        if turns:
            self._loop.call_soon(self._go_on, turns - 1)
        else:
            self._held = False
            self._wake()

    # Waking whoever waits.

    def _wake(self) -> None:
        self.permit()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def permit(self) -> None:
        if self.permission is not None and not self.permission.done():
            self.permission.set_result(None)
