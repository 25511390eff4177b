"""The reverse proxy as an ASGI app. It knows nothing of consent.

Each exchange is one coroutine; a second task exists only while a request body is under way, or where the upstream takes
its time and the client must be watched. Bodies pass piece by piece in both directions: the downstream's ``send`` holds
back our reading of the upstream, and the upstream's socket our ``receive``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import monotonic
from typing import Any

from vestibule.core.headers import Header, response_headers
from vestibule.core.hints import STREAM, WHOLE
from vestibule.upstream.body import Body
from vestibule.upstream.connection import PIECE, Connection, Receive
from vestibule.upstream.faults import Cause, ResponseAbortedError, UpstreamError, error_headers, error_page
from vestibule.upstream.heads import Heads
from vestibule.upstream.limits import Limits
from vestibule.upstream.pool import Pool
from vestibule.upstream.request import Request
from vestibule.upstream.target import Target
from vestibule.upstream.websocket import relay_websocket

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Upstream:
    """ASGI app that answers ``http`` and ``websocket`` scopes with what the site at ``url`` says.

    ``url``: ``http://host:port``, ``https://host:port`` or ``unix:/path``; ValueError where it is none.
    ``trusted_proxies``: whose ``Forwarded`` and ``X-Forwarded-*`` is believed, as addresses or networks; ``unix:`` for
    peers on a Unix socket. ``ca_file``: PEM file of the only authorities that may have signed an https upstream's
    certificate. ``views``: bodies may be sent on as ``memoryview``, uncopied; where server and apps between take it.

    Where the upstream can't be reached or talks nonsense the visitor gets a plain 502, 503 or 504. Where it fails after
    the response was begun, ``ResponseAbortedError`` is raised: the server has to break the connection. Use it on one
    event loop only, and ``close`` it on that.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        trusted_proxies: Sequence[str] = ("127.0.0.1/32",),
        ca_file: str | None = None,
        views: bool = False,
    ) -> None:
        self.limits = limits
        self.target = Target.parse(url, ca_file)
        self.trusted = tuple(trusted_proxies)
        self.pool = Pool(self.target, limits, views=views)
        self._heads = Heads(self.trusted)
        self._retired = False
        self.running = 0
        """Requests and WebSockets that run."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        # All in one coroutine: each one more is asked at every step.
        request = Request(scope, self._heads, monotonic())
        connection: Connection | None = None
        self.running += 1
        try:
            try:
                connection = await self._answer(request, receive)
                if connection.done and request.upload is None and connection.buffered <= PIECE:
                    # All of it is here: the connection is free for others while this client takes its time.
                    start, whole = self._start(request, connection), connection.take()
                    self.pool.release(connection)
                    connection = None
                    if WHOLE in (scope.get("extensions") or ()):
                        start["type"], start["body"] = WHOLE, whole
                        await send(start)
                    else:
                        await send(start)
                        await send({"type": "http.response.body", "body": whole, "more_body": False})
                    return
                await send(self._start(request, connection))
                body = Body(connection)
                if STREAM in (scope.get("extensions") or ()) and request.upload is None and body.movable:
                    await send({"type": STREAM, "source": body})
                    return
                # Each ``send`` returns when the client has room for more; the last bytes need no connection any more.
                async for piece in body:
                    if body.arrived and connection is not None and request.upload is None:
                        self.pool.release(connection)
                        connection = None
                    await send({"type": "http.response.body", "body": piece, "more_body": not body.ended})
            finally:
                if connection is not None:
                    self.pool.release(connection)
                if request.upload is not None:
                    await request.stop_upload()
        except UpstreamError as fault:
            await _give_up(request, fault, send)
        finally:
            self.running -= 1
            if self._retired and not self.running:
                await self.close()

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self.running += 1
            try:
                await relay_websocket(self.target, self.limits, self.trusted, scope, receive, send)
            finally:
                self.running -= 1
                if self._retired and not self.running:
                    await self.close()
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    def _start(self, request: Request, connection: Connection) -> Message:
        status = connection.status
        headers: Sequence[Header] = connection.public or response_headers(
            connection.headers, status=status, origins=self.target.origins, client=request.client
        )
        request.answered = True
        return {"type": "http.response.start", "status": status, "headers": headers}

    async def close(self) -> None:
        """End all connections to the upstream."""
        await self.pool.close()

    async def retire(self) -> None:
        """No more requests will come: ``close`` when the last that runs has ended."""
        self._retired = True
        if not self.running:
            await self.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, request: Request, receive: Receive) -> Connection:
        """Send the request and wait for the answer's head; once more where a kept connection turns out to be dead."""
        if request.fault is not None:
            raise UpstreamError(request.fault)
        body, complete = b"", True
        if request.has_body and not request.expects:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise UpstreamError(Cause.CLIENT_GONE)
            body, complete = message.get("body", b""), not message.get("more_body", False)
        elif request.expects:
            complete = False
        connection = self.pool.take() or await self.pool.acquire()
        while True:
            try:
                connection.begin(no_body=request.method == "HEAD")
                request.send(connection, body, complete, receive)
                while not connection.head_done:
                    await connection.news()
            except UpstreamError as fault:
                self.pool.release(connection)
                if not (fault.stale and request.replayable):
                    raise
                connection = await self.pool.acquire(fresh=True)
            except BaseException:
                self.pool.release(connection)
                raise
            else:
                return connection


async def _give_up(request: Request, fault: UpstreamError, send: Send) -> None:
    """Tell the client that there is no answer, or no end of one, unless it has gone."""
    if fault.cause is Cause.CLIENT_GONE:
        return
    if request.answered:
        raise ResponseAbortedError from None
    status, page = fault.status, error_page(fault.status)
    await send({"type": "http.response.start", "status": status, "headers": error_headers(status, len(page))})
    await send({"type": "http.response.body", "body": page, "more_body": False})
