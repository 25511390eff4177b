"""A request on its way to the upstream."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote

from vestibule.upstream.connection import Connection, Receive
from vestibule.upstream.faults import Cause, UpstreamError
from vestibule.upstream.heads import Heads

Scope = MutableMapping[str, Any]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods repeated once on a fresh connection where a kept one turns out dead (RFC 9110, 9.2.1 and 9.2.2)."""


class Request:
    """A request on its way to the upstream: its head as bytes, how its body is framed, and who sends it.

    ``fault``: why it can't be sent at all. ``answered``: the response has begun. ``upload``: the task that sends the
    rest of the body.
    """

    __slots__ = (
        "_left",
        "answered",
        "chunked",
        "client",
        "expects",
        "fault",
        "has_body",
        "head",
        "method",
        "upload",
    )

    def __init__(self, scope: Scope, heads: Heads, now: float) -> None:
        method: str = scope["method"]
        lines, self.client, self.fault, self._left, self.chunked, self.expects = heads.of(scope, now)
        self.method = method
        self.head = b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), target_of(scope), lines)
        self.answered = False
        self.upload: asyncio.Task[None] | None = None
        self.has_body = self.chunked or bool(self._left)

    @property
    def replayable(self) -> bool:
        """Whether it may be sent again on another connection."""
        return self.method in SAFE and not self.has_body

    def send(self, connection: Connection, body: bytes, complete: bool, receive: Receive) -> None:
        """Write the head with what there is of the body at once; the rest follows in a task."""
        if not self.has_body:
            connection.write(self.head)
            connection.watched = receive
            return
        connection.sending = True
        connection.write(self.head + self._framed(body, complete) if body or complete else self.head)
        if complete:
            self._complete(connection, receive)
        else:
            if self.expects:
                connection.permission = asyncio.get_running_loop().create_future()
            self.upload = asyncio.get_running_loop().create_task(self._pump(connection, receive))

    async def stop_upload(self) -> None:
        """End the sending of the body, which still goes on where the answer was complete before the request."""
        assert self.upload is not None
        self.upload.cancel()
        await asyncio.wait([self.upload])
        if not self.upload.cancelled() and (error := self.upload.exception()) is not None:
            raise error

    async def _pump(self, connection: Connection, receive: Receive) -> None:
        try:
            if connection.permission is not None:
                await asyncio.wait([connection.permission], timeout=connection.limits.expect)
                if connection.head_done or connection.fault is not None:
                    return
            complete = False
            while not complete:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise UpstreamError(Cause.CLIENT_GONE)
                complete = not message.get("more_body", False)
                connection.write(self._framed(message.get("body", b""), complete))
                await connection.drained()
            self._complete(connection, receive)
        except Exception as error:
            connection.fail(error.cause if isinstance(error, UpstreamError) else Cause.BAD_BODY)
            connection.abort()
            if not isinstance(error, UpstreamError):
                raise

    def _complete(self, connection: Connection, receive: Receive) -> None:
        connection.sending = False
        connection.watched = receive

    def _framed(self, body: bytes, complete: bool) -> bytes:
        if self.chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk + b"0\r\n\r\n" if complete else chunk
        assert self._left is not None
        self._left -= len(body)
        if self._left < 0 or (complete and self._left):
            raise UpstreamError(Cause.BAD_BODY)
        return body


def target_of(scope: Scope) -> bytes:
    """The request target in origin form (RFC 9112, 3.2.1), byte for byte as the client wrote it where the server
    tells.
    """
    path: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~%").encode("ascii")
    query: bytes = scope.get("query_string") or b""
    return path + b"?" + query if query else path
