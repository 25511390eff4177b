"""The body of an answer as it comes from the site, piece by piece; or moved by the kernel from the site's socket to the
client's (splice(2)), so that it never comes to memory of ours."""

from __future__ import annotations

import fcntl
import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from vestibule.core.hints import Sink
from vestibule.upstream.faults import Cause

if TYPE_CHECKING:
    from vestibule.upstream.connection import Connection

WORTH = 524_288
"""Bytes from which on moving costs less than reading and writing, for which it needs a pipe and two descriptors."""

MOST = 32
"""Bodies that a pool moves at the same time: each holds four descriptors more, and pages of the kernel's."""

PIPE = 524_288
"""Bytes that a pipe holds, where the kernel grants so many (pipe(7): ``/proc/sys/fs/pipe-max-size``)."""

USUAL = 65_536
"""Bytes that one holds unless its user has many pipes (``/proc/sys/fs/pipe-user-pages-soft``)."""

_SPLICES = hasattr(os, "splice")


class Moving:
    """How many bodies a pool is moving."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Body:
    """See the module, and :class:`vestibule.core.hints.Source`. size: what is still to come and what is here, where the
    body has a length."""

    __slots__ = ("_connection", "_pieces", "arrived", "passed", "size")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pieces: deque[bytes | memoryview] = deque()
        self.size = connection.left + connection.buffered
        self.passed = 0
        self.arrived = False
        """Whether all of it is here: the connection is free."""

    @property
    def movable(self) -> bool:
        """Whether it may be worth moving, and nobody has to decrypt it."""
        connection = self._connection
        return _SPLICES and connection.left >= WORTH and connection.transport.get_extra_info("sslcontext") is None

    @property
    def ended(self) -> bool:
        return self.arrived and not self._pieces

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes | memoryview:
        """The next piece; the last one may be empty. Raises UpstreamError."""
        if not self._pieces:
            if self.arrived:
                raise StopAsyncIteration
            connection = self._connection
            while not connection.body and not connection.done:
                await connection.news()
            self._pieces.append(connection.take())
            self.arrived = connection.done
            if self.arrived:
                self._pieces.extend(connection.rest())
        piece = self._pieces.popleft()
        self.passed += len(piece)
        return piece

    async def move(self, sink: Sink) -> bool:
        connection, moving = self._connection, self._connection.moving
        if moving.count >= MOST:
            return False
        try:
            pipe = _Pipe(connection.transport.get_extra_info("socket").fileno())
        except OSError:  # there are no more descriptors
            return False
        moving.count += 1
        try:
            here = connection.rest()
            connection.pause()
            if not (pipe.worthwhile and self._begun(pipe)):
                connection.put_back(here)
                return False
            for piece in here:
                await connection.with_client(sink.write(piece))
                self.passed += len(piece)
            await self._move(pipe, sink)
            connection.settle(nothing_follows=pipe.is_dry())
        finally:
            moving.count -= 1
            pipe.close()
        self.arrived = True
        return True

    def _begun(self, pipe: _Pipe) -> bool:
        """Take the first bytes; False where that cannot be done from such a socket."""
        try:
            self._fill(pipe)
        except ConnectionError:
            return True  # which is met again, and told, when what came before has been passed on
        except OSError:
            return False
        return True

    async def _move(self, pipe: _Pipe, sink: Sink) -> None:
        connection = self._connection
        since = 0
        broken = False
        while connection.left or pipe.held:
            came = 0
            if connection.left and not broken:
                try:
                    came = self._fill(pipe)
                except OSError:
                    broken = True
            went = pipe.give(sink)
            since += went
            self.passed += went
            if pipe.held and not went:
                await connection.with_client(sink.writable())
            elif broken and not pipe.held:
                connection.fail(Cause.RESET)
                connection.check()
            elif not came and not went:
                await connection.readable(pipe.source)
            elif since >= PIPE:
                since = 0
                await connection.breathe()  # others have waited

    def _fill(self, pipe: _Pipe) -> int:
        """Raises OSError, also where the site has hung up."""
        try:
            came = pipe.fill(self._connection.left)
        except BlockingIOError:
            return 0
        if not came:
            raise ConnectionResetError
        self._connection.passed(came)
        return came


class _Pipe:
    """A pipe that never blocks, and a descriptor for the socket that fills it, whose own is the event loop's. held:
    bytes that are in it."""

    __slots__ = ("_in", "_out", "held", "source")

    def __init__(self, source: int) -> None:
        """Raises OSError."""
        self.held = 0
        self.source = os.dup(source)
        try:
            self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            os.close(self.source)
            raise
        with suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE)

    @property
    def worthwhile(self) -> bool:
        """Whether it holds much: a user has so many pages for all pipes of all processes, and with less than the usual
        ones moving takes longer than copying."""
        return fcntl.fcntl(self._in, fcntl.F_GETPIPE_SZ) >= USUAL

    def fill(self, size: int) -> int:
        """Take at most ``size`` bytes from the socket; 0 at its end. Raises OSError: BlockingIOError where there are
        none, or no room for them."""
        came = os.splice(self.source, self._in, min(size, PIPE), flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        self.held += came
        return came

    def is_dry(self) -> bool:
        """Whether the socket, of which all is taken that was asked for, has nothing more to say, and no end."""
        try:
            self.fill(1)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def give(self, sink: Sink) -> int:
        went = sink.take(self._out, self.held) if self.held else 0
        self.held -= went
        return went

    def close(self) -> None:
        for descriptor in (self.source, self._in, self._out):
            os.close(descriptor)
