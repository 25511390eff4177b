"""The protocol of a connection: has the app answer what was read, one by one, and ends what waits too long."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from vestibule.protocol.answers import bare
from vestibule.protocol.exchange import App, Exchange
from vestibule.protocol.framing import Framing, RefusedError
from vestibule.protocol.limits import ServerLimits
from vestibule.protocol.pace import Pace
from vestibule.protocol.reading import HIGH_WATER, Reading
from vestibule.protocol.repeats import Repeats

Refused = Callable[[int, str | None, Any], None]
"""Is told of what never reaches the app, or not whole: status, the peer's address (None on a Unix socket), and the
scope of the request where one had begun."""

_RESET = struct.pack("ii", 1, 0)
"""struct linger: on, no time."""


def hardened(
    limits: ServerLimits, refused: Refused | None = None, offers: Sequence[str] = ()
) -> type[HardenedProtocol]:
    """The protocol class for ``uvicorn.Config(http=...)`` with other limits than the safe ones. refused: is told of
    refusals; it must not raise. offers: of :mod:`vestibule.core.hints`, for an app all of whose layers know them; they
    get the fields of a request as a tuple, which may be that of other requests, too."""
    hearing = {"refused": staticmethod(refused)} if refused is not None else {}
    offered: Mapping[str, Any] = MappingProxyType({name: MappingProxyType({}) for name in offers})
    own = {"__module__": __name__, "limits": limits, "repeats": Repeats(), "offers": offered, **hearing}
    return type("HardenedProtocol", (HardenedProtocol,), own)


class HardenedProtocol(Reading):
    """See the module. Use with ``Config(proxy_headers=False, server_header=False, date_header=False)``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._active: Exchange | None = None  # the one being answered; those in `pipeline` follow
        self._timer: asyncio.TimerHandle | None = None
        self._common: dict[str, Any] = {}  # of all scopes
        self._idle_since = 0.0
        self._looked = 0.0
        self._body_pace: Pace | None = None
        self._write_pace: Pace | None = None
        self._unwritten = 0
        self.moved = 0
        """Bytes written past the transport since the last look."""
        self._served = 0
        self._hurried = False  # has but a moment for its first request
        self._lost = False
        self._resting: asyncio.Future[None] | None = None  # what answers requests waits for the next one
        self._next: Exchange | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connections.add(cast("Any", self))
        self.transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(self.transport)
        self.server = get_local_addr(self.transport)
        self.client = get_remote_addr(self.transport)
        self.scheme = "https" if is_ssl(self.transport) else "http"
        self._common = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "extensions": self.offers,
        }
        self._idle_since = self._looked = self.loop.time()
        count, limits = len(self.connections), self.limits
        if count > limits.connections:
            self._surplus = self._hurried = True
            if count > limits.most:
                self._tell(503)
                self.transport.abort()
                return
        self._timer = self.loop.call_later(limits.tick, self._look)

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
        self._rest_no_more()
        # They refer back to us: without them our memory is free at once, not when the collector next looks at all.
        self.parser = cast("Any", None)
        self.cycle = self._active = None

    def pause_writing(self) -> None:
        self._write_pace = Pace(self.limits.write)
        self._unwritten = self.transport.get_write_buffer_size()
        self.flow.pause_writing()

    def wait_for_client(self, pace: Pace) -> None:
        """As when the transport's buffer is full, for one who writes past it. pace: of all that is written so."""
        self._write_pace = pace
        self._unwritten = self.transport.get_write_buffer_size()
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self._write_pace = None
        self.flow.resume_writing()

    def begin(self, method: str, version: str, framing: Framing, *, keep_alive: bool) -> None:
        if self._surplus:
            self.shed()
        if len(self.pipeline) >= self.limits.pipeline:
            raise RefusedError(400)
        self._served += 1
        scope = self._scope(method, version)
        exchange = Exchange(
            self,
            scope,
            keep_alive=keep_alive and self._served < self.limits.requests and not self._hurried,
            expects=framing.expects,
            length=framing.length,
            http10=version == "1.0",
        )
        self._in_body = True
        self._body_bytes = 0
        self._body_pace = None
        self._last = not exchange.keep_alive
        self.cycle = exchange
        if self.busy():
            self.flow.pause_reading()
            self.pipeline.append(cast("Any", exchange))
        else:
            self._start(exchange)

    def shed(self) -> None:
        """Raise 503 for one connection too many, if there still are too many."""
        if len(self.connections) > self.limits.connections:
            raise RefusedError(503)
        self._surplus = False

    def _scope(self, method: str, version: str) -> dict[str, Any]:
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        if self.root_path:
            raw_path = self.root_path.encode("ascii") + raw_path
        scope = self._common.copy()
        scope["http_version"] = version
        scope["method"] = method
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["headers"] = self.headers
        scope["state"] = self.app_state.copy()
        return scope

    # Exchanges

    def busy(self) -> bool:
        return self._active is not None

    def _exchanges(self) -> list[Exchange]:
        queued = [cast("Exchange", entry) for entry in self.pipeline]
        return queued if self._active is None else [self._active, *queued]

    def _start(self, exchange: Exchange) -> None:
        """Answer a request: at once, or when its body is here if that has a length. A slow client then costs a buffer,
        and nothing of the app's or the site's."""
        self._active = exchange
        exchange.begun = self.loop.time()
        if not (exchange.length and exchange.more_body and not exchange.expects and exchange.body_size <= HIGH_WATER):
            self._run(exchange)

    def go_on(self, exchange: Exchange) -> None:
        """Enough of a body is here, or all of it."""
        if exchange is self._active and not exchange.running:
            self._run(exchange)

    def _run(self, exchange: Exchange) -> None:
        exchange.running = True
        if self._resting is not None and not self._resting.done():
            self._next = exchange
            self._resting.set_result(None)
            self._resting = None
        else:
            task = self.loop.create_task(self._work(exchange))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _work(self, exchange: Exchange) -> None:
        """Answer one request, and those that come later: a task for each would cost a twentieth of it all."""
        app = cast("App", self.app)
        while True:
            await exchange.run(app)
            # Another may have begun meanwhile: an app may go on after its answer.
            if self._resting is not None or self._lost:
                return
            del exchange  # a connection that waits holds nothing of what it was asked
            self._resting = self.loop.create_future()
            await self._resting
            if self._next is None:
                return
            exchange, self._next = self._next, None

    def _rest_no_more(self) -> None:
        """No request will come any more."""
        self._lost = True
        if self._resting is not None:
            if not self._resting.done():
                self._resting.set_result(None)
            self._resting = None

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
        if sock is not None and sock.family != socket.AF_UNIX:
            with suppress(OSError, ValueError):  # where it is closed already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    # Refusals

    def refuse(self, status: int) -> None:
        """Answer with an error and close, in turn: after the responses that are still due."""
        if self._in_body and self.cycle is not None and not self.cycle.response_complete:
            self._break_request(status)
            return
        self._tell(status)
        self._refusal = status
        if not self.busy():
            self.answer_and_close(status)

    def _break_request(self, status: int) -> None:
        """The body of a request turned out to be unreadable: its app is told that the client has gone."""
        exchange: Exchange = self.cycle
        if exchange is self._active:
            self._end_active(status)
            return
        self._tell(status, exchange)
        exchange.disconnect()
        self.pipeline.remove(cast("Any", exchange))
        self._refusal = status

    def _end_active(self, status: int) -> None:
        """End the request that is being answered: with ``status``, or visibly where its answer has begun."""
        exchange = self._active
        assert exchange is not None
        self._tell(status, exchange)
        exchange.disconnect()
        if exchange.response_started:
            self.abort()
        else:
            self.answer_and_close(status)

    def _tell(self, status: int, exchange: Exchange | None = None) -> None:
        self.refused(status, self.client[0] if self.client else None, exchange.scope if exchange is not None else None)

    @staticmethod
    def refused(status: int, address: str | None, scope: Any) -> None:
        """Hears of refusals; see ``Refused`` and ``hardened``."""

    def answer_and_close(self, status: int, *, head_only: bool = False) -> None:
        """Write a bare error response and close."""
        self._active = None
        if self.transport.is_closing():
            return
        self.transport.write(bare(status, head_only=head_only))
        self._close(linger=True)

    def _close(self, *, linger: bool) -> None:
        """Close; with ``linger`` read and drop for a moment, or the reset that follows unread bytes would destroy what
        we have just written (RFC 9112, 9.6)."""
        self._last = True
        for exchange in self._exchanges():
            exchange.disconnect()
        self.pipeline.clear()
        if not linger or not self.transport.can_write_eof():
            self._end()
            return
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.limits.linger, self.transport.abort)
        self.flow.resume_reading()
        self.transport.write_eof()

    def _end(self) -> None:
        """Close once what is written was taken, or else after a while: who never reads would stay for ever."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_later(self.limits.write, self.transport.abort)

    def hand_over(self, rest: bytes) -> None:
        """Give the transport to the WebSocket protocol with the head as it was read."""
        if rest:
            # RFC 6455, 4.1: the client waits for our answer; what came early was meant for somebody else.
            self.refuse(400)
            return
        self.connections.discard(cast("Any", self))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rest_no_more()
        assert self.ws_protocol_class is not None
        factory = cast("Any", self.ws_protocol_class)
        protocol = factory(config=self.config, server_state=self.server_state, app_state=self.app_state)
        lines = [b"GET %b HTTP/1.1" % self.url, *(b"%b: %b" % header for header in self.headers), b"", b""]
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        self.parser = cast("Any", None)  # as when the connection ends
        protocol.data_received(b"\r\n".join(lines))

    # Time

    def shutdown(self) -> None:
        """The server ends: so does this connection, once what has been asked is answered. One that has not asked
        anything yet gets a moment for its first request, which may have been on its way when we stopped listening."""
        if self._active is None and (self._served or self._closing):
            self._end()
            return
        if self._active is not None:
            self.cycle.keep_alive = False
            self._last = True
            return
        self._hurried = True
        self._idle_since = self.loop.time()
        assert self._timer is not None
        self._timer.cancel()
        self._timer = self.loop.call_later(self.limits.linger, self._look)

    def _look(self) -> None:
        """Once a tick: end what has waited too long."""
        self._timer = None
        now = self.loop.time()
        passed, self._looked = now - self._looked, now
        received, self._received = self._received, 0
        moved, self.moved = self.moved, 0
        self._expire(now, passed, received, moved)
        if not self._closing and not self.transport.is_closing():
            self._timer = self.loop.call_later(self.limits.tick, self._look)

    def _expire(self, now: float, passed: float, received: int, moved: int) -> None:
        limits = self.limits
        if self._active is not None and now - self._active.begun > limits.total:
            self._end_active(408 if self._reading() else 504)
        elif self._write_pace is not None:
            before, self._unwritten = self._unwritten, self.transport.get_write_buffer_size()
            taken = max(before - self._unwritten, 0) + moved
            if self._write_pace.spent(passed, taken, patience=limits.write, rate=limits.rate):
                self.transport.abort()
        elif self._active is not None:
            if self._reading():
                pace = self._body_pace = self._body_pace or Pace(limits.body)
                if pace.spent(passed, received, patience=limits.body, rate=limits.rate):
                    self.refuse(408)
        elif self._in_head:
            if now - self._begun > (min(limits.head, limits.linger) if self._hurried else limits.head):
                self.refuse(408)
        elif now - self._idle_since >= self._patience():
            self._end()

    def _reading(self) -> bool:
        """Whether we wait for the client to send more of a body."""
        return self._in_body and self._active is self.cycle and not self.flow.read_paused

    def _patience(self) -> float:
        """Seconds that the connection may be idle."""
        if self._hurried:
            return self.limits.linger
        return self.limits.idle if self._served else self.limits.head
