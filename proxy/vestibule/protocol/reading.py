"""What a connection brings: requests as they are read, by what is known of them or by httptools, each judged before it
is answered. What answers them is :class:`vestibule.protocol.server.HardenedProtocol`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vestibule.protocol.exchange import Exchange
from vestibule.protocol.framing import BODILESS, Framing, RefusedError, check_request_line, judge
from vestibule.protocol.limits import ServerLimits
from vestibule.protocol.repeats import Repeats

HIGH_WATER = 65536
"""Bytes of a request body held for the app before the client is made to wait. The app is called when so much of a body
of known length is here, or all of it."""

_OWS = b" \t"  # not part of a value; the parser leaves it at the end of one


class Reading(HttpToolsProtocol, ABC):
    """See the module."""

    repeats: ClassVar[Repeats | None] = None
    offers: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    limits: ClassVar[ServerLimits] = ServerLimits()
    """In force for all connections of the class, those too that are open when it is exchanged."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle: Any = None  # the exchange whose request was parsed last
        self._in_head = False
        self._in_body = False
        self._begun = 0.0
        self._received = 0
        self._progress = 0
        self._noise = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._last = False
        self._dropped = False
        self._refusal = 0
        self._surplus = False  # one connection too many: told so at its first request
        self._closing = False
        self._linger_bytes = 0
        self._tunnel = b""
        self._replaying = False
        self._plain = False  # the request parsed last may be repeated, see `Repeats`

    # What answers.

    @abstractmethod
    def begin(self, method: str, version: str, framing: Framing, *, keep_alive: bool) -> None:
        """A request begins, of which the head is here; raises RefusedError."""

    @abstractmethod
    def go_on(self, exchange: Exchange) -> None:
        """Enough of its body is here, or all of it."""

    @abstractmethod
    def busy(self) -> bool:
        """Whether a request is being answered."""

    @abstractmethod
    def shed(self) -> None:
        """Raise RefusedError for one connection too many, if there still are too many."""

    @abstractmethod
    def refuse(self, status: int) -> None:
        """What comes cannot be read, or is too much."""

    @abstractmethod
    def hand_over(self, rest: bytes) -> None:
        """A WebSocket begins with the head as it was read. rest: what came after it."""

    # What was read.

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._linger_bytes += len(data)
            if self._linger_bytes > self.limits.header_bytes * 32:
                self.transport.abort()
            return
        if self._refusal or (self._last and not self._in_body):
            self._dropped = True
            return
        self._received += len(data)
        progress = self._progress
        between = not (self._in_head or self._in_body or self._noise)
        if between and self._repeats(data):
            return
        self._plain = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self._last and not self._in_body:
                self._dropped = True
            else:
                cause = error.__context__
                self.refuse(cause.status if isinstance(cause, RefusedError) else 400)
        else:
            # What is neither head nor body nor their end piles up in the parser (a header without end), or is work for
            # nothing (chunk extensions, trailers, empty lines).
            self._noise = 0 if self._progress != progress else self._noise + len(data)
            if self._noise > self.limits.header_bytes + self.limits.url_bytes:
                self.refuse(431 if self._in_head else 400)
            elif between and self._plain and self.repeats is not None and not (self._in_head or self._in_body):
                self.repeats.learn(data, self.headers)

    def _repeats(self, data: bytes) -> bool:
        """Begin the exchange of a request whose fields are known, without the parser, which then has not seen it;
        whether ``data`` is one."""
        limits = self.limits
        if self.repeats is None or len(data) > limits.header_bytes:
            return False
        request = self.repeats.read(data, self.loop.time())
        if request is None:
            return False
        method, self.url, headers = request
        if len(self.url) > limits.url_bytes or len(headers) > limits.header_count:
            return False
        self.headers = headers if self.offers else list(headers)  # type: ignore[assignment]
        self._progress += 1
        try:
            self.begin(method, "1.1", BODILESS, keep_alive=True)
        except RefusedError as error:
            self.refuse(error.status)
        else:
            self._in_body = False
            self.cycle.end_of_body()
        return True

    # httptools: the head

    def on_message_begin(self) -> None:
        if self._replaying:
            return
        if self._last:
            raise RefusedError(400)  # nothing is read after the last request; `data_received` drops it
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
            raise RefusedError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nobody asked for it, and it must not pass for a header
        self._head_bytes += len(name) + len(value)
        self.headers.append((name.lower(), value.strip(_OWS)))
        if self._head_bytes > self.limits.header_bytes or len(self.headers) > self.limits.header_count:
            raise RefusedError(431)

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        self._in_head = False
        self._progress += 1
        version = self.parser.get_http_version()
        method = self.parser.get_method().decode("ascii")
        check_request_line(version, method, self.url)
        framing = judge(self.headers, version)
        if framing.length > self.limits.body_bytes:
            raise RefusedError(413)
        keep_alive = version == "1.1" and self.parser.should_keep_alive()
        self._plain = keep_alive and framing == BODILESS and not self.parser.should_upgrade()
        if self.parser.should_upgrade():
            self._meet_upgrade(method, framing, keep_alive)
            if self._tunnel == b"websocket":
                return
        self.begin(method, version, framing, keep_alive=keep_alive)

    def _meet_upgrade(self, method: str, framing: Framing, keep_alive: bool) -> None:
        """The parser will stop after this head. A WebSocket leaves it for good; any other protocol is declined by going
        on (RFC 9110, 7.8), for which ``_tunnel`` keeps a head that makes a new parser expect the same body."""
        if framing.upgrade == b"websocket":
            if method != "GET" or framing.length or framing.chunked or self.busy() or self.ws_protocol_class is None:
                raise RefusedError(400)
            if self._surplus:
                self.shed()
            self._tunnel = b"websocket"
            return
        body = b"transfer-encoding: chunked" if framing.chunked else b"content-length: %d" % framing.length
        self._tunnel = b"POST / HTTP/1.1\r\n%b\r\n%b\r\n" % (body, b"" if keep_alive else b"connection: close\r\n")

    # httptools: the body

    def on_body(self, body: bytes) -> None:
        self._progress += 1
        self._body_bytes += len(body)
        if self._body_bytes > self.limits.body_bytes:
            raise RefusedError(413)
        exchange: Exchange = self.cycle
        if exchange.response_complete or exchange.disconnected:
            return
        exchange.feed(body)
        if exchange.body_size > HIGH_WATER:
            self.go_on(exchange)
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._tunnel:
            return  # the stop before another protocol, see `_meet_upgrade`
        self._in_body = False
        self.cycle.end_of_body()
        self.go_on(self.cycle)

    def _upgraded(self, rest: bytes) -> None:
        tunnel, self._tunnel = self._tunnel, b""
        if tunnel == b"websocket":
            self.hand_over(rest)
            return
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        try:
            self.parser.feed_data(tunnel)
        finally:
            self._replaying = False
        if rest:
            self.data_received(rest)
