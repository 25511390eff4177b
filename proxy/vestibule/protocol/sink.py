"""The client's socket as bytes are moved to it past the transport, whose own buffer is empty meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from vestibule.protocol.errors import ClientDisconnectedError
from vestibule.protocol.pace import Pace

if TYPE_CHECKING:
    from vestibule.protocol.exchange import Exchange
    from vestibule.protocol.server import HardenedProtocol


class Sink:
    """See the module, and :class:`vestibule.core.hints.Sink`. For one exchange; to be closed at its end."""

    __slots__ = ("_descriptor", "_exchange", "_pace", "_protocol")

    def __init__(self, protocol: HardenedProtocol, exchange: Exchange) -> None:
        """Raises OSError where there are no more descriptors."""
        self._protocol = protocol
        self._exchange = exchange
        self._pace = Pace(protocol.limits.write)
        # The transport's own belongs to the event loop, which lets nobody else wait for it.
        self._descriptor = os.dup(protocol.transport.get_extra_info("socket").fileno())

    async def write(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        while left:
            self._check()
            try:
                sent = os.write(self._descriptor, left)
            except BlockingIOError:
                await self.writable()
            except OSError:
                self._gone()
            else:
                self._protocol.moved += sent
                left = left[sent:]

    def take(self, pipe: int, size: int) -> int:
        self._check()
        try:
            taken = os.splice(pipe, self._descriptor, size, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        except BlockingIOError:
            return 0
        except OSError:
            self._gone()
        self._protocol.moved += taken
        return taken

    async def writable(self) -> None:
        self._check()  # of who has left already nobody would tell us again
        protocol = self._protocol
        protocol.wait_for_client(self._pace)
        protocol.loop.add_writer(self._descriptor, protocol.resume_writing)
        try:
            await protocol.flow.drain()
        finally:
            protocol.loop.remove_writer(self._descriptor)
            protocol.resume_writing()
        self._check()

    def close(self) -> None:
        os.close(self._descriptor)

    def _check(self) -> None:
        if self._exchange.disconnected:
            raise ClientDisconnectedError

    def _gone(self) -> NoReturn:
        self._exchange.disconnect()
        self._protocol.abort()
        raise ClientDisconnectedError
