"""WebSockets, message by message (RFC 6455): the client's side is ASGI's, the upstream's the ``websockets`` state
machine.

Nothing is queued: of the upstream's messages one is on its way to the client while the socket is not read further, and
a client's message is taken when the one before has left our buffer. Fragments are joined, extensions are not offered
(the upstream is near), pings are answered on each side by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState, InvalidStatus, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from vestibule.core.forwarding import Client
from vestibule.core.headers import Header, request_headers, response_headers
from vestibule.upstream.faults import Cause, UpstreamError, error_headers, error_page
from vestibule.upstream.limits import Limits
from vestibule.upstream.target import Target

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HANDSHAKE = frozenset(
    {
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    }
)


async def relay_websocket(
    target: Target,
    limits: Limits,
    trusted: tuple[str, ...],
    scope: MutableMapping[str, Any],
    receive: Receive,
    send: Send,
) -> None:
    """Open the same WebSocket at the upstream, accept the client's as the upstream does, and pass messages until one
    ends.
    """
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    peer = scope.get("client")
    headers, client = request_headers(
        scope["headers"], peer=peer[0] if peer else None, scheme=scope.get("scheme", "ws"), trusted=trusted
    )
    protocols = [Subprotocol(name) for name in scope.get("subprotocols") or ()]
    uri = WebSocketURI(
        target.tls is not None,
        target.host,
        target.port,
        (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        (scope.get("query_string") or b"").decode("latin-1"),
    )
    try:
        upstream = await _connect(target, limits, uri, protocols)
    except UpstreamError as fault:
        await _reject(scope, send, fault.status, error_headers(fault.status, 0), error_page(fault.status))
        return
    try:
        answer = await upstream.handshake(headers)
        if answer.status_code == 101:
            await send(_accept(upstream.machine.subprotocol, answer, target, client))
            await _relay(upstream, receive, send)
        else:
            fields = response_headers(_fields(answer), status=answer.status_code, origins=target.origins, client=client)
            await _reject(scope, send, answer.status_code, fields, bytes(answer.body))
    except UpstreamError as fault:
        await _reject(scope, send, fault.status, error_headers(fault.status, 0), error_page(fault.status))
    finally:
        upstream.end()


async def _connect(target: Target, limits: Limits, uri: WebSocketURI, protocols: list[Subprotocol]) -> Channel:
    try:
        async with asyncio.timeout(limits.connect):
            return await target.connect(lambda: Channel(uri, protocols, limits))
    except TimeoutError:
        raise UpstreamError(Cause.CONNECT_TIMEOUT) from None
    except OSError:
        raise UpstreamError(Cause.REFUSED) from None


class Channel(asyncio.Protocol):
    """The connection to the upstream."""

    def __init__(self, uri: WebSocketURI, protocols: list[Subprotocol], limits: Limits) -> None:
        self.limits = limits
        self.machine = ClientProtocol(uri, subprotocols=protocols or None, max_size=limits.message_bytes)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.events: deque[Response | Frame] = deque()
        self.arrived = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.machine.receive_data(data)
        self._turn()
        if self.events and not self.lost:
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self.machine.receive_eof()
        self._turn()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost = True
        if not self.machine.eof_sent or self.machine.state is not State.CLOSED:
            with contextlib.suppress(EOFError):
                self.machine.receive_eof()
        self.events.extend(cast("list[Response | Frame]", self.machine.events_received()))
        self.writable.set()
        self.arrived.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _turn(self) -> None:
        """Take what the machine has made of the bytes, and send what it wants sent (pongs, closes)."""
        self.events.extend(cast("list[Response | Frame]", self.machine.events_received()))
        self.flush()
        self.arrived.set()

    def flush(self) -> None:
        if self.lost:
            return
        for data in self.machine.data_to_send():
            if data:
                self.transport.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()

    async def next(self) -> Response | Frame | None:
        """The next event, or None at the end of the connection. Silence is met with a ping, and then taken for the
        end.
        """
        asked = False
        while not self.events:
            if self.lost:
                return None
            self.arrived.clear()
            self.transport.resume_reading()
            try:
                async with asyncio.timeout(self.limits.ping):
                    await self.arrived.wait()
                asked = False
            except TimeoutError:
                if asked or self.machine.state is not State.OPEN:
                    return None
                asked = True
                self.machine.send_ping(os.urandom(4))
                self.flush()
        return self.events.popleft()

    async def handshake(self, headers: list[Header]) -> Response:
        request = self.machine.connect()
        own = {"upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"}
        fields = Headers([(name, value) for name, value in request.headers.raw_items() if name.lower() in own])
        for name, value in headers:
            if name not in _HANDSHAKE:
                fields[name.decode("latin-1")] = value.decode("latin-1")
        self.machine.send_request(Request(request.path, fields))
        self.flush()
        try:
            async with asyncio.timeout(self.limits.first_byte):
                event = await self.next()
        except TimeoutError:
            raise UpstreamError(Cause.SILENT) from None
        failure = self.machine.handshake_exc
        if not isinstance(event, Response) or (failure is not None and not isinstance(failure, InvalidStatus)):
            raise UpstreamError(Cause.GARBAGE)
        return event

    def end(self) -> None:
        """Let go of the connection; what is still to be sent is."""
        if not self.lost and self.transport is not None:
            self.flush()
            self.transport.close()
            asyncio.get_running_loop().call_later(1.0, self.transport.abort)


async def _relay(upstream: Channel, receive: Receive, send: Send) -> None:
    """Both directions until one ends; the other is told with the same code."""
    sending = asyncio.create_task(_to_client(upstream, send))
    receiving = asyncio.create_task(_to_upstream(upstream, receive))
    try:
        await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, receiving):
            task.cancel()
        results = await asyncio.gather(sending, receiving, return_exceptions=True)
    for result in results:
        # The client going away in the middle of a message is the usual end of a WebSocket, no error.
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result


async def _to_client(upstream: Channel, send: Send) -> None:
    pieces: list[bytes] = []
    text = False
    while isinstance(event := await upstream.next(), Frame):
        if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.opcode is not Opcode.CONT:
                text = event.opcode is Opcode.TEXT
            pieces.append(bytes(event.data))
            if not event.fin:
                continue
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces = []
            try:
                message: Message = (
                    {"type": "websocket.send", "text": data.decode()}
                    if text
                    else {"type": "websocket.send", "bytes": data}
                )
            except UnicodeDecodeError:
                upstream.machine.fail(CloseCode.INVALID_DATA)
                upstream.flush()
                await send({"type": "websocket.close", "code": CloseCode.INTERNAL_ERROR, "reason": ""})
                return
            await send(message)
        elif event.opcode is Opcode.CLOSE:
            break
    close = upstream.machine.close_rcvd
    if close is None:
        # It broke off: RFC 6455 lets nobody send 1006, so the client hears that the server failed.
        await send({"type": "websocket.close", "code": CloseCode.INTERNAL_ERROR, "reason": ""})
    else:
        code = CloseCode.NORMAL_CLOSURE if close.code == CloseCode.NO_STATUS_RCVD else close.code
        await send({"type": "websocket.close", "code": code, "reason": close.reason})


async def _to_upstream(upstream: Channel, receive: Receive) -> None:
    machine = upstream.machine
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            _close_upstream(upstream, message.get("code", 1005), message.get("reason") or "")
            return
        try:
            if (text := message.get("text")) is not None:
                machine.send_text(text.encode())
            else:
                machine.send_binary(message["bytes"])
        except InvalidState:
            return  # it is closing; the other direction knows why
        upstream.flush()
        async with asyncio.timeout(upstream.limits.write):
            await upstream.writable.wait()


def _close_upstream(upstream: Channel, code: int, reason: str) -> None:
    if upstream.machine.state is not State.OPEN:
        return
    with contextlib.suppress(InvalidState, ProtocolError):
        if code == CloseCode.NO_STATUS_RCVD:
            upstream.machine.send_close()
        elif code == CloseCode.ABNORMAL_CLOSURE:
            upstream.machine.send_close(CloseCode.GOING_AWAY)
        else:
            upstream.machine.send_close(code, reason)
    upstream.flush()


def _fields(answer: Response) -> list[Header]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.raw_items()]


def _accept(subprotocol: str | None, answer: Response, target: Target, client: Client) -> Message:
    fields = response_headers(_fields(answer), status=101, origins=target.origins, client=client)
    kept = [pair for pair in fields if pair[0] not in _HANDSHAKE]
    return {"type": "websocket.accept", "subprotocol": subprotocol, "headers": kept}


async def _reject(scope: MutableMapping[str, Any], send: Send, status: int, headers: list[Header], body: bytes) -> None:
    """Refuse the handshake with the answer itself where the server can, else with its plain 403."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        fields = [pair for pair in headers if pair[0] != b"content-length"]
        fields.append((b"content-length", b"%d" % len(body)))
        await send({"type": "websocket.http.response.start", "status": status, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
    else:
        await send({"type": "websocket.close", "code": CloseCode.GOING_AWAY})
