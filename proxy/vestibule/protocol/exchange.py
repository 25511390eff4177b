"""One request and its response, between the connection and the app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from vestibule.core.headers import Header
from vestibule.core.hints import STREAM, WHOLE, Source
from vestibule.core.memo import Alike
from vestibule.protocol.answers import date, joined, status_line
from vestibule.protocol.discretion import without_data
from vestibule.protocol.errors import ClientDisconnectedError
from vestibule.protocol.sink import Sink

if TYPE_CHECKING:
    from vestibule.protocol.server import HardenedProtocol

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

_APART = 16384
"""Bytes of a body from which on it costs less to write it beside its head than to copy both."""

_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})

_logger = logging.getLogger("vestibule.protocol")


class _Fields(NamedTuple):
    """What an app's fields come to. text: the status line and the fields, but for those that frame the message, without
    the last line end. length: of the body, None where it isn't said. ends: the connection is not kept. dated: one of
    them is a date."""

    text: bytes
    length: bytes | None
    ends: bool
    dated: bool


def _fields(headers: Iterable[Header], status: int) -> _Fields:
    """Raises ValueError for a field that would not be one line."""
    lines = [status_line(status)]
    length: bytes | None = None
    ends, dated = b"", False
    for pair in headers:
        name = pair[0]
        if name not in _FRAMING:
            lines.append(b": ".join(pair))
            dated = dated or name == b"date"
        elif name == b"content-length":
            length = pair[1]
        elif name == b"connection":
            ends = pair[1]
    if length is not None:
        lines.append(b"content-length: " + length)
    return _Fields(joined(lines), length, ends.lower() == b"close", dated)


_read = Alike(_fields, 256)  # a tuple is one that many answers share


class _Done:
    """Can be awaited, and is done."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return _NOTHING()


_NOTHING = cast("Callable[[], Generator[Any, None, None]]", partial(iter, ()))
_DONE = _Done()


class Exchange:
    """One request and its response as ASGI's ``receive`` and ``send``.

    begun: the loop's time when it was its turn. length: of the request's body in bytes, 0 where it has none or does not
    say.
    """

    __slots__ = (
        "_body",
        "_event",
        "_left",
        "_protocol",
        "_told_end",
        "_unsent",
        "begun",
        "body_size",
        "chunked",
        "disconnected",
        "expects",
        "head_only",
        "http10",
        "keep_alive",
        "length",
        "more_body",
        "response_complete",
        "response_started",
        "running",
        "scope",
    )

    def __init__(
        self, protocol: HardenedProtocol, scope: Any, *, keep_alive: bool, expects: bool, length: int, http10: bool
    ) -> None:
        self._protocol = protocol
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects = expects
        self.length = length
        self.http10 = http10
        self.head_only = scope["method"] == "HEAD"
        self.running = False
        self.begun = 0.0
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
        if self._event is not None:
            self._event.set()

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
            # An app that we do not know may take ``send`` for a coroutine function.
            await app(self.scope, self.receive, self.send if self._protocol.offers else self._sent)
        except ConnectionError as error:
            self._broken(502, f"a response was broken off: {type(error).__name__}")
        except Exception as error:
            self._broken(500, without_data(error))
        except BaseException:
            self._protocol.abort()
            raise
        else:
            if not self.response_complete and not self.disconnected:
                self._broken(500, "the app returned without completing its response")

    def _broken(self, status: int, what: str) -> None:
        """The app has failed: an error response where nothing was sent yet, else the connection is reset, so that
        nobody takes the part that was sent for the whole."""
        if self.disconnected or self.response_complete:
            return
        _logger.error("%s", what)
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

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == STREAM:
            return self._stream(message["source"])
        # No coroutine of its own where nothing has to be waited for, as it is as a rule.
        if self._protocol.flow.write_paused or self.disconnected:
            return self._send_later(message)
        self._send_now(message)
        return _DONE

    async def _sent(self, message: Message) -> None:
        await self.send(message)

    async def _send_later(self, message: Message) -> None:
        if not self.disconnected:
            await self._protocol.flow.drain()
        if self.disconnected:
            raise ClientDisconnectedError
        self._send_now(message)

    def _send_now(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == WHOLE and not self.response_started:
            self._begin(message)
            body = message["body"]
            if self._left != len(body) or self._left > _APART:
                self._send_body(body, more=False)
                return
            self._protocol.transport.write(self._unsent + body)
            self._unsent = b""
            self._end()
        elif kind == "http.response.start" and not self.response_started:
            self._begin(message)
            # The first of the body comes at once as a rule: one write for both. Where it doesn't, the head goes alone.
            self._protocol.loop.call_soon(self._flush)
        else:
            raise RuntimeError(f"the app sent {kind!r} out of turn")

    def _begin(self, message: Message) -> None:
        self._unsent = self._head(message["status"], message.get("headers", ()))
        self.response_started = True

    async def _stream(self, source: Source) -> None:
        if not self.response_started or self.response_complete:
            raise RuntimeError("the app streamed out of turn")
        if not await self._moved(source):
            async for piece in source:
                await self.send({"type": "http.response.body", "body": piece, "more_body": not source.ended})

    async def _moved(self, source: Source) -> bool:
        """Have the kernel move a body where the client gets it as it is, after nothing but a head."""
        protocol = self._protocol
        if self.disconnected or self._left != source.size or not self._unsent or protocol.scheme != "http":
            return False
        if protocol.transport.get_write_buffer_size():
            return False
        try:
            sink = Sink(protocol, self)
        except OSError:
            return False
        try:
            head, self._unsent = self._unsent, b""
            await sink.write(head)
            if not await source.move(sink):
                return False
        finally:
            sink.close()
        self._left = 0
        self._send_body(b"", more=False)
        return True

    def _flush(self) -> None:
        if self._unsent:
            head, self._unsent = self._unsent, b""
            if not self._protocol.transport.is_closing():
                self._protocol.transport.write(head)

    def _head(self, status: int, headers: Any) -> bytes:
        if self.expects:
            # The client may or may not send the body that nobody asked for; only a new connection is clear.
            self.keep_alive = False
        fields = _read(headers, status)
        if fields.ends:
            self.keep_alive = False
        text = fields.text if fields.dated else fields.text + b"\r\ndate: " + date()
        if self._frame(status, fields.length):
            text += b"\r\ntransfer-encoding: chunked"
        return text + (b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n")

    def _frame(self, status: int, length: bytes | None) -> bool:
        """RFC 9112, 6.3; whether the body goes in chunks. ``_left`` is what it may still bring, None where its end is
        marked otherwise."""
        if self.head_only or status in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = int(length)
        elif self.http10:
            self.keep_alive = False  # the end of the connection is the end of the body
        else:
            self.chunked = True
        return self.chunked

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
            if len(body) > _APART:
                self._protocol.transport.writelines((head, body))
                body = b""
            else:
                body = head + body
        if body:
            self._protocol.transport.write(body)
        if not more:
            self._end()

    def _end(self) -> None:
        self.response_complete = True
        if self._event is not None:
            self._event.set()
        self._protocol.response_done(self)
