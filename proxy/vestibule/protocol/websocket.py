"""The server's side of a WebSocket: uvicorn's, made discreet."""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from vestibule.protocol.discretion import DiscreetLogger

_logger = logging.getLogger("vestibule.protocol")


class HardenedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for ``Config(ws=...)``, without what it would log of visitors and without its blind
    spots: bytes that come before the handshake is answered, at which it fails, end the connection; and a handshake that
    the app refuses with an answer of its own is complete with that, not an error of the app's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = DiscreetLogger(_logger)

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()
        else:
            super().data_received(data)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True
