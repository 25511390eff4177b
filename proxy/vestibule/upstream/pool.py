"""The connections to the upstream: few, kept, and never more than allowed."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from vestibule.upstream.body import Moving
from vestibule.upstream.buffers import Buffers
from vestibule.upstream.connection import Connection
from vestibule.upstream.faults import Cause, UpstreamError
from vestibule.upstream.glance import Glance
from vestibule.upstream.limits import Limits
from vestibule.upstream.target import Target


class Pool:
    """Hands out connections, the one used last first. Belongs to the event loop on which it is first used.

    A request that finds all connections taken queues in order of arrival; the queue is bounded in length and time, and
    who finds it full gets ``Cause.OVERLOAD`` at once. A connection that waits for a slow client is not counted as taken
    meanwhile: it asks nothing of the upstream, and there are no more of them than clients.
    """

    def __init__(self, target: Target, limits: Limits, *, views: bool = False) -> None:
        self.target = target
        self.limits = limits
        self._idle: list[tuple[Connection, float]] = []
        self._all: set[Connection] = set()
        self.aside: set[Connection] = set()
        """Connections that wait for their clients."""
        self._opening = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.buffers = Buffers(views=views)
        self.glance = Glance(limits.header_count, limits.header_bytes)
        self.moving = Moving()

    def take(self) -> Connection | None:
        """An idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()[0]
            if not connection.lost and not connection.transport.is_closing():
                return connection
        return None

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A connection to use and to ``release``; raises UpstreamError. ``fresh``: one that nobody has used before."""
        if not fresh and not self._waiters and (connection := self.take()) is not None:
            return connection
        if fresh and self._full() and self._idle:
            self._idle.pop(0)[0].abort()
        elif self._full() or self._waiters:
            waited = await self._queue()
            if waited is not None:
                return waited
        return await self._open()

    def release(self, connection: Connection) -> None:
        """End the connection's exchange: keep it, or hand it on, or let it go."""
        if not connection.finish():
            return  # `gone` follows
        if self._closed:
            connection.abort()
        elif not self._hand_on(connection):
            assert self._loop is not None
            self._idle.append((connection, self._loop.time()))

    def set_aside(self, connection: Connection) -> None:
        """A connection waits for its client; whoever waits for one may open another."""
        if connection in self._all:
            self.aside.add(connection)
            self._hand_on(None)

    def set_back(self, connection: Connection) -> None:
        """It is read again, or its exchange has ended."""
        self.aside.discard(connection)

    def gone(self, connection: Connection) -> None:
        """A connection has ended; whoever waits may open another in its place."""
        self.aside.discard(connection)
        if connection in self._all:
            self._all.discard(connection)
            self._idle = [entry for entry in self._idle if entry[0] is not connection]
            self._hand_on(None)

    async def close(self) -> None:
        """End all connections, those in use too, and refuse new ones."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(UpstreamError(Cause.OVERLOAD))
        for connection in list(self._all):
            connection.fail(Cause.RESET)
            connection.abort()
        await asyncio.gather(*(connection.closed() for connection in self._all))

    @property
    def open(self) -> int:
        return len(self._all) + self._opening

    def _full(self) -> bool:
        return len(self._all) - len(self.aside) + self._opening >= self.limits.connections

    def _hand_on(self, connection: Connection | None) -> bool:
        """Give the connection, or with None the right to open one, to the first who waits; whether anybody does."""
        if connection is None and self._full():
            return False
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                if connection is None:
                    self._opening += 1  # the place is theirs from now on
                waiter.set_result(connection)
                return True
        return False

    async def _queue(self) -> Connection | None:
        if len(self._waiters) >= self.limits.waiting:
            raise UpstreamError(Cause.OVERLOAD)
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self.limits.queue):
                connection = await waiter
        except BaseException as error:
            self._withdraw(waiter)
            if isinstance(error, TimeoutError):
                raise UpstreamError(Cause.OVERLOAD) from None
            raise
        if connection is None:
            self._opening -= 1  # `_open` counts it again, at once
        return connection

    def _withdraw(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Who gave up waiting in the very moment in which it was served passes the gift on."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._opening -= 1
                self._hand_on(None)
            elif not self._hand_on(connection):
                self._idle.append((connection, asyncio.get_running_loop().time()))
        else:
            waiter.cancel()

    async def _open(self) -> Connection:
        if self._closed:
            raise UpstreamError(Cause.OVERLOAD)
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._opening += 1
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self.limits.connect):
                connection = await self.target.connect(lambda: Connection(self, self.limits, loop))
        except TimeoutError:
            raise UpstreamError(Cause.CONNECT_TIMEOUT) from None
        except ssl.SSLError:
            raise UpstreamError(Cause.TLS) from None
        except OSError:
            raise UpstreamError(Cause.REFUSED) from None
        finally:
            self._opening -= 1
            if connection is None:
                self._hand_on(None)
        if connection.lost:
            self._hand_on(None)
            raise UpstreamError(Cause.RESET)
        self._all.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self.limits.tick, self._sweep)
        return connection

    def _sweep(self) -> None:
        """Look at every wait; runs as long as there are connections."""
        assert self._loop is not None
        now = self._loop.time()
        self.buffers.trim()
        for connection in list(self._all):
            if connection.busy:
                connection.sweep(now)
        oldest = now - self.limits.idle
        for connection, since in self._idle:
            if since >= oldest:
                break
            connection.abort()
        self._sweeper = self._loop.call_later(self.limits.tick, self._sweep) if self._all else None
