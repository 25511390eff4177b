"""The HTTP/1.1 server: uvicorn's httptools protocol, made strict.

Whatever two parsers could read differently is refused, since a proxy stands between two of them: what we take for one
request the site might take for two, and the second would carry another visitor's name. So a message has one Host, at
most one length in plain digits or else the one coding ``chunked``, a target in origin form, and no body where it asks
for another protocol; trailers never become headers. Each read is bounded in bytes, each wait in time.

Refusals answer 400 (or the status that says it better), never while an earlier response is under way on the connection,
and then the connection is closed: nothing that follows in it can be told apart from the rest.

Against uvicorn it also: answers HTTP/1.0 without chunks, closes where a body that was announced with ``Expect`` will
not be read, breaks the connection of a response that can't be finished, and tells every queued request when the client
is gone.
"""

from __future__ import annotations

from vestibule.protocol.errors import ClientDisconnectedError
from vestibule.protocol.exchange import Exchange
from vestibule.protocol.limits import ServerLimits
from vestibule.protocol.server import HardenedProtocol, Refused, hardened
from vestibule.protocol.websocket import HardenedWebSocket

__all__ = [
    "ClientDisconnectedError",
    "Exchange",
    "HardenedProtocol",
    "HardenedWebSocket",
    "Refused",
    "ServerLimits",
    "hardened",
]
