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

import asyncio
import logging
import re
import socket
import struct
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, ClassVar, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from vestibule.core.headers import Header, is_host

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

logger = logging.getLogger("vestibule.protocol")

_RESET = struct.pack("ii", 1, 0)
"""struct linger: on, no time."""

HIGH_WATER = 65536
"""Bytes of a request body held for the app before the client is made to wait."""

_LENGTH = re.compile(rb"[0-9]{1,18}")
# RFC 9112, 3.2.1, and what browsers write beyond it; never a fragment, a space or anything outside ASCII.
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*|\*")
# All that a head may hold (RFC 9110, 5.5): HTAB, visible characters, space, obs-text, and the CR and LF of its line
# ends.
_SAFE = bytes([9, 10, 13, *range(0x20, 0x7F), *range(0x80, 0x100)])
# What the parser takes for methods and a site has no use for: tunnels, echoes of one's own cookies, other protocols.
_FOREIGN_METHODS = frozenset(
    {
        "ANNOUNCE",
        "CONNECT",
        "DESCRIBE",
        "FLUSH",
        "GET_PARAMETER",
        "PAUSE",
        "PLAY",
        "PRI",
        "RECORD",
        "REDIRECT",
        "SETUP",
        "SET_PARAMETER",
        "SOURCE",
        "TEARDOWN",
        "TRACE",
    }
)
_OWS = b" \t"  # not part of a value; the parser leaves it at the end of one
_FRAMING = frozenset({b"connection", b"content-length", b"date", b"transfer-encoding"})
_JUDGED = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"})


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Times in seconds, sizes in bytes. Each value is safe as it is.

    ``head``: from the first byte of a request, or from the connection's beginning, to the end of its head. ``body``:
    without a byte of a body that is waited for. ``write``: in which a client must take something of what waits for it.
    ``idle``: between two requests. ``linger``: in which we read on after a refusal, so that the client gets to see it.
    ``pipeline``: requests sent ahead of their answers. ``requests``: on one connection. ``body_bytes``: of one request
    body.
    """

    head: float = 10.0
    body: float = 60.0
    write: float = 60.0
    idle: float = 75.0
    linger: float = 2.0
    url_bytes: int = 8192
    header_bytes: int = 32768
    header_count: int = 100
    body_bytes: int = 16 * 1024**3
    pipeline: int = 64
    requests: int = 100_000

    @property
    def tick(self) -> float:
        """How often a connection looks at its waits."""
        return max(0.01, min(2.5, min(self.head, self.body, self.write, self.idle) / 4))


class ClientDisconnectedError(ConnectionError):
    """Raised from ``send`` when there is nobody left to send to (ASGI 2.4)."""


class _RefusedError(Exception):
    """Carries the status out of a parser callback."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def hardened(limits: ServerLimits) -> type[HardenedProtocol]:
    """The protocol class for ``uvicorn.Config(http=...)`` with other limits than the safe ones."""
    return type("HardenedProtocol", (HardenedProtocol,), {"limits": limits})


class Exchange:
    """One request and its response, as ASGI's ``receive`` and ``send``."""

    __slots__ = (
        "_body",
        "_event",
        "_left",
        "_protocol",
        "_state",
        "_told_end",
        "_unsent",
        "body_size",
        "chunked",
        "disconnected",
        "expects",
        "head_only",
        "http10",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(
        self, protocol: HardenedProtocol, scope: Any, *, keep_alive: bool, expects: bool, http10: bool
    ) -> None:
        self._protocol = protocol
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects = expects
        self.http10 = http10
        self.head_only = scope["method"] == "HEAD"
        self.task: asyncio.Task[None] | None = None
        self.disconnected = False
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked = False
        self.body_size = 0
        self._left: int | None = None
        self._body: list[bytes] = []
        self._told_end = False
        self._unsent = b""
        self._event: asyncio.Event | None = None

    # The protocol's side.

    def feed(self, data: bytes) -> None:
        self._body.append(data)
        self.body_size += len(data)
        self.wake()

    def end_of_body(self) -> None:
        self.more_body = False
        self.wake()

    def disconnect(self) -> None:
        """There is no client any more, or none that we understand."""
        if not self.response_complete:
            self.disconnected = True
        self.wake()

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()

    async def run(self, app: App) -> None:
        """Call the app and see to it that the response is whole or visibly is not."""
        try:
            await app(self.scope, self.receive, self.send)
        except ConnectionError as error:
            self._broken(502, f"a response was broken off: {type(error).__name__}")
        except Exception as error:
            self._broken(500, _without_data(error))
        except BaseException:
            self._protocol.abort()
            raise
        else:
            if not self.response_complete and not self.disconnected:
                self._broken(500, "the app returned without completing its response")
        finally:
            if self.task is not None:
                self._protocol.tasks.discard(self.task)

    def _broken(self, status: int, what: str) -> None:
        """The app has failed: an error response where nothing was sent yet, else the connection is reset, so that
        nobody takes the part that was sent for the whole."""
        if self.disconnected or self.response_complete:
            return
        logger.error("%s", what)
        self.disconnected = True
        if self.response_started and not self._unsent:
            self._protocol.abort()
        else:
            self._unsent = b""
            self.response_complete = True
            self._protocol.answer_and_close(status, head_only=self.head_only)

    # ASGI.

    async def receive(self) -> Message:
        if self.expects:
            self.expects = False
            if not self.response_started:
                self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.disconnected and not self.response_complete:
            if self._body or not (self.more_body or self._told_end):
                body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                self._body.clear()
                self.body_size = 0
                self._told_end = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self._protocol.read_on()
            if self._event is None:
                self._event = asyncio.Event()
            self._event.clear()
            await self._event.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        if self.disconnected:
            raise ClientDisconnectedError
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._unsent = self._head(message["status"], message.get("headers", ()))
            self.response_started = True
            # The first of the body comes at once as a rule: one write for both. Where it doesn't, the head goes alone.
            protocol.loop.call_soon(self._flush)
        else:
            raise RuntimeError(f"the app sent {kind!r} out of turn")

    def _flush(self) -> None:
        if self._unsent:
            head, self._unsent = self._unsent, b""
            if not self._protocol.transport.is_closing():
                self._protocol.transport.write(head)

    def _head(self, status: int, headers: Any) -> bytes:
        if self.expects:
            # The client may or may not send the body that nobody asked for; only a new connection is clear.
            self.keep_alive = False
        lines = [STATUS_LINE[status][:-2]]
        length: bytes | None = None
        dated = False
        for pair in headers:
            name = pair[0]
            if name not in _FRAMING:
                lines.append(b": ".join(pair))
            elif name == b"content-length":
                length = pair[1]
                lines.append(b": ".join(pair))
            elif name == b"date":
                dated = True
                lines.append(b": ".join(pair))
            elif name == b"connection":
                self.keep_alive = self.keep_alive and pair[1].lower() != b"close"
        if not dated:
            lines.append(b"date: " + formatdate(usegmt=True).encode("ascii"))
        self._frame(status, length, lines)
        if not self.keep_alive:
            lines.append(b"connection: close")
        lines += (b"", b"")
        head = b"\r\n".join(lines)
        ends = len(lines) - 1
        if not head.count(b"\n") == head.count(b"\r") == ends or head.translate(None, _SAFE):
            raise ValueError("a response header holds a line break or a control character")
        return head

    def _frame(self, status: int, length: bytes | None, lines: list[bytes]) -> None:
        """RFC 9112, 6.3. ``_left`` is what the body may still bring, None where its end is marked otherwise."""
        if self.head_only or status in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = int(length)
        elif self.http10:
            self.keep_alive = False  # the end of the connection is the end of the body
        else:
            self.chunked = True
            lines.append(b"transfer-encoding: chunked")

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self.chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = framed if more else framed + b"0\r\n\r\n"
        elif self.head_only:
            body = b""
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body is not as long as its Content-Length")
        if self._unsent:
            head, self._unsent = self._unsent, b""
            body = head + body
        if body:
            self._protocol.transport.write(body)
        if not more:
            self.response_complete = True
            self.wake()
            self._protocol.response_done(self)


class HardenedProtocol(HttpToolsProtocol):
    """See the module. Use with ``Config(proxy_headers=False, server_header=False, date_header=False)``."""

    limits: ClassVar[ServerLimits] = ServerLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle: Any = None  # the exchange whose request was parsed last
        self._active: Exchange | None = None  # the one being answered; those in `pipeline` follow
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._begun = 0.0
        self._idle_since = 0.0
        self._moved_at = 0.0
        self._moved = False
        self._write_paused_since: float | None = None
        self._served = 0
        self._progress = 0
        self._noise = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._last = False
        self._dropped = False
        self._refusal = 0
        self._closing = False
        self._linger_bytes = 0
        self._tunnel = b""
        self._replaying = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connections.add(cast("Any", self))
        self.transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(self.transport)
        self.server = get_local_addr(self.transport)
        self.client = get_remote_addr(self.transport)
        self.scheme = "https" if is_ssl(self.transport) else "http"
        self._idle_since = self._moved_at = self.loop.time()
        self._timer = self.loop.call_later(self.limits.tick, self._look)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.connections.discard(cast("Any", self))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for exchange in self._exchanges():
            exchange.disconnect()
        self.pipeline.clear()
        self.flow.resume_writing()
        self._last = True

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._linger_bytes += len(data)
            if self._linger_bytes > self.limits.header_bytes * 32:
                self.transport.abort()
            return
        if self._refusal or (self._last and not self._in_body):
            self._dropped = True
            return
        self._moved = True
        progress = self._progress
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self._last and not self._in_body:
                self._dropped = True
            else:
                cause = error.__context__
                self._refuse(cause.status if isinstance(cause, _RefusedError) else 400)
        else:
            # What is neither head nor body nor their end piles up in the parser (a header without end), or is work for
            # nothing (chunk extensions, trailers, empty lines).
            self._noise = 0 if self._progress != progress else self._noise + len(data)
            if self._noise > self.limits.header_bytes + self.limits.url_bytes:
                self._refuse(431 if self._in_head else 400)

    def pause_writing(self) -> None:
        self._write_paused_since = self.loop.time()
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self._write_paused_since = None
        self.flow.resume_writing()

    # httptools: the head

    def on_message_begin(self) -> None:
        if self._replaying:
            return
        if self._last:
            raise _RefusedError(400)  # nothing is read after the last request; `data_received` drops it
        self._in_head = True
        self._in_body = False
        self._begun = self.loop.time()
        self._progress += 1
        self._head_bytes = 0
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        if self._replaying:
            return
        self.url += url
        if len(self.url) > self.limits.url_bytes:
            raise _RefusedError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nobody asked for it, and it must not pass for a header
        self._head_bytes += len(name) + len(value)
        self.headers.append((name.lower(), value.strip(_OWS)))
        if self._head_bytes > self.limits.header_bytes or len(self.headers) > self.limits.header_count:
            raise _RefusedError(431)

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        self._in_head = False
        self._progress += 1
        version = self.parser.get_http_version()
        method = self.parser.get_method().decode("ascii")
        if version not in ("1.1", "1.0"):
            raise _RefusedError(505)
        if method in _FOREIGN_METHODS:
            raise _RefusedError(405 if method == "TRACE" else 400)
        if not _TARGET.fullmatch(self.url) or (self.url == b"*" and method != "OPTIONS"):
            raise _RefusedError(400)
        length, chunked, expects, upgrade = _judge(self.headers, version)
        if length > self.limits.body_bytes:
            raise _RefusedError(413)
        keep_alive = version == "1.1" and self.parser.should_keep_alive()
        if self.parser.should_upgrade():
            self._meet_upgrade(method, upgrade, length, chunked, keep_alive)
            if self._tunnel == b"websocket":
                return
        self._begin_exchange(method, version, keep_alive=keep_alive, expects=expects)

    def _meet_upgrade(self, method: str, upgrade: bytes, length: int, chunked: bool, keep_alive: bool) -> None:
        """The parser will stop after this head. A WebSocket leaves it for good; any other protocol is declined by going
        on (RFC 9110, 7.8), for which ``_tunnel`` keeps a head that makes a new parser expect the same body."""
        if upgrade == b"websocket":
            if method != "GET" or length or chunked or self._busy() or self.ws_protocol_class is None:
                raise _RefusedError(400)
            self._tunnel = b"websocket"
            return
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % length
        self._tunnel = b"POST / HTTP/1.1\r\n%b\r\n%b\r\n" % (framing, b"" if keep_alive else b"connection: close\r\n")

    def _begin_exchange(self, method: str, version: str, *, keep_alive: bool, expects: bool) -> None:
        limit = self.limit_concurrency
        if limit is not None and (len(self.connections) > limit or len(self.tasks) >= limit):
            raise _RefusedError(503)
        if len(self.pipeline) >= self.limits.pipeline:
            raise _RefusedError(400)
        self._served += 1
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope = cast(
            "Any",
            {
                "type": "http",
                "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
                "http_version": version,
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme,
                "method": method,
                "root_path": self.root_path,
                "path": self.root_path + (unquote(path) if "%" in path else path),
                "raw_path": self.root_path.encode("ascii") + raw_path,
                "query_string": query,
                "headers": self.headers,
                "state": self.app_state.copy(),
            },
        )
        exchange = Exchange(
            self,
            self.scope,
            keep_alive=keep_alive and self._served < self.limits.requests,
            expects=expects,
            http10=version == "1.0",
        )
        self._in_body = True
        self._body_bytes = 0
        self._last = not exchange.keep_alive
        self.cycle = exchange
        if self._busy():
            self.flow.pause_reading()
            self.pipeline.append(cast("Any", exchange))
        else:
            self._start(exchange)

    # httptools: the body

    def on_body(self, body: bytes) -> None:
        self._progress += 1
        self._body_bytes += len(body)
        if self._body_bytes > self.limits.body_bytes:
            raise _RefusedError(413)
        exchange: Exchange = self.cycle
        if exchange.response_complete or exchange.disconnected:
            return
        exchange.feed(body)
        if exchange.body_size > HIGH_WATER:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._tunnel:
            return  # the stop before another protocol, see `_meet_upgrade`
        self._in_body = False
        self.cycle.end_of_body()

    # Exchanges

    def _busy(self) -> bool:
        return self._active is not None

    def _exchanges(self) -> list[Exchange]:
        queued = [cast("Exchange", entry) for entry in self.pipeline]
        return queued if self._active is None else [self._active, *queued]

    def _start(self, exchange: Exchange) -> None:
        self._active = exchange
        exchange.task = self.loop.create_task(exchange.run(cast("App", self.app)))
        self.tasks.add(exchange.task)

    def read_on(self) -> None:
        """The app waits for the client: read, unless there are requests enough to go on with."""
        if len(self.pipeline) < self.limits.pipeline // 2:
            self.flow.resume_reading()

    def response_done(self, exchange: Exchange) -> None:
        """A response is complete: answer the next request, or wait for one, or close."""
        self.server_state.total_requests += 1
        self._active = None
        if self.transport.is_closing():
            return
        unread = exchange is self.cycle and self._in_body
        if not exchange.keep_alive or unread:
            # What is left of a body that nobody wants would hold the connection; the client may be told by its end.
            self._close(linger=unread or self._dropped)
        elif self.pipeline:
            self._start(cast("Exchange", self.pipeline.popleft()))
            if not self.pipeline:
                self.flow.resume_reading()
        elif self._refusal:
            self.answer_and_close(self._refusal)
        else:
            self._idle_since = self._begun = self.loop.time()
            self.flow.resume_reading()

    def abort(self) -> None:
        """Break the connection by a reset: an orderly end would be a well-formed one to HTTP/1.0 clients."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    # Refusals

    def _refuse(self, status: int) -> None:
        """Answer with an error and close, in turn: after the responses that are still due."""
        if self._in_body and self.cycle is not None and not self.cycle.response_complete:
            self._break_request(status)
            return
        self._refusal = status
        if not self._busy():
            self.answer_and_close(status)

    def _break_request(self, status: int) -> None:
        """The body of a request turned out to be unreadable: its app is told that the client has gone."""
        exchange: Exchange = self.cycle
        exchange.disconnect()
        if exchange is not self._active:
            self.pipeline.remove(cast("Any", exchange))
            self._refusal = status
        elif exchange.response_started:
            self.abort()
        else:
            self._active = None
            self.answer_and_close(status)

    def answer_and_close(self, status: int, *, head_only: bool = False) -> None:
        """Write a bare error response, which names nothing, and close."""
        self._active = None
        if self.transport.is_closing():
            return
        line = STATUS_LINE[status]
        text = line[9:-2] + b"\n"
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        self.transport.write(
            b"%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\ncache-control: no-store\r\n"
            b"%bdate: %b\r\nconnection: close\r\n\r\n%b"
            % (line, len(text), retry, formatdate(usegmt=True).encode("ascii"), b"" if head_only else text)
        )
        self._close(linger=True)

    def _close(self, *, linger: bool) -> None:
        """Close; with ``linger`` read and drop for a moment, or the reset that follows unread bytes would destroy what
        we have just written (RFC 9112, 9.6)."""
        self._last = True
        for exchange in self._exchanges():
            exchange.disconnect()
        self.pipeline.clear()
        if not linger or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.limits.linger, self.transport.abort)
        self.flow.resume_reading()
        self.transport.write_eof()

    # Upgrades

    def _upgraded(self, rest: bytes) -> None:
        tunnel, self._tunnel = self._tunnel, b""
        if tunnel == b"websocket":
            self._hand_over(rest)
            return
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        try:
            self.parser.feed_data(tunnel)
        finally:
            self._replaying = False
        if rest:
            self.data_received(rest)

    def _hand_over(self, rest: bytes) -> None:
        """Give the transport to the WebSocket protocol with the head as it was read."""
        if rest:
            # RFC 6455, 4.1: the client waits for our answer; what came early was meant for somebody else.
            self._refuse(400)
            return
        self.connections.discard(cast("Any", self))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        assert self.ws_protocol_class is not None
        factory = cast("Any", self.ws_protocol_class)
        protocol = factory(config=self.config, server_state=self.server_state, app_state=self.app_state)
        lines = [b"GET %b HTTP/1.1" % self.url, *(b"%b: %b" % header for header in self.headers), b"", b""]
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(b"\r\n".join(lines))

    # Time

    def _look(self) -> None:
        """Once a tick: end what has waited too long."""
        self._timer = None
        now = self.loop.time()
        if self._moved:
            self._moved = False
            self._moved_at = now
        self._expire(now)
        if not self._closing and not self.transport.is_closing():
            self._timer = self.loop.call_later(self.limits.tick, self._look)

    def _expire(self, now: float) -> None:
        limits = self.limits
        if self._write_paused_since is not None:
            if now - self._write_paused_since > limits.write:
                self.transport.abort()
        elif self._active is not None:
            reading = self._in_body and self._active is self.cycle and not self.flow.read_paused
            if reading and now - self._moved_at > limits.body:
                self._refuse(408)
        elif self._in_head:
            if now - self._begun > limits.head:
                self._refuse(408)
        elif now - self._idle_since > (limits.idle if self._served else limits.head):
            self.transport.close()


class HardenedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for ``Config(ws=...)``, without what it would log of visitors and without its blind
    spot: bytes that come before the handshake is answered, at which it fails, end the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _DiscreetLogger(logger)

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()
        else:
            super().data_received(data)


class _DiscreetLogger(logging.Logger):
    """Passes errors on to another logger by their kind alone, and nothing else: uvicorn's messages hold addresses and
    paths.
    """

    def __init__(self, target: logging.Logger) -> None:
        super().__init__(f"{target.name}.websocket", logging.ERROR)
        self.parent = target

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:  # noqa: ARG002 - the message holds data
        error = sys.exc_info()[1]
        if error is not None:
            self.error("%s", _without_data(error))


def _judge(headers: list[Header], version: str) -> tuple[int, bool, bool, bytes]:
    """Length of the body, whether it is chunked instead, whether the client waits for a 100, and what it would upgrade
    to.

    Raises 400 where another reader might come to another conclusion (RFC 9112, 3.2 and 6.3, more strictly).
    """
    host = length = coding = upgrade = None
    expects = False
    for name, value in headers:
        if name not in _JUDGED:
            continue
        if name == b"host":
            if host is not None or not is_host(value):
                raise _RefusedError(400)
            host = value
        elif name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise _RefusedError(400)
            length = int(value)
        elif name == b"transfer-encoding":
            if coding is not None or value.lower() != b"chunked" or version != "1.1":
                raise _RefusedError(400)
            coding = value
        elif name == b"upgrade":
            upgrade = b"" if upgrade is not None else value.lower()
        elif name == b"expect":
            expects = version == "1.1" and value.lower() == b"100-continue"
    if host is None or (length is not None and coding is not None):
        raise _RefusedError(400)
    has_body = bool(length) or coding is not None
    return length or 0, coding is not None, expects and has_body, upgrade or b""


def _without_data(error: BaseException) -> str:
    """Where an exception came from, without its message: that may hold what a visitor sent."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__} in the app\n{frames}"
