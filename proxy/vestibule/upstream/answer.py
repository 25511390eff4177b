"""An answer as it comes from the upstream: its head by a glance or by httptools, how its body ends, and the body.

Nothing the upstream says that answers no request is believed: the connection is not used again, since such bytes would
become the answer to somebody else's. What drives the exchange is :class:`vestibule.upstream.connection.Connection`.
"""

from __future__ import annotations

import asyncio
import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httptools

from vestibule.core.headers import Header
from vestibule.upstream.faults import Cause, UpstreamError
from vestibule.upstream.limits import Limits

if TYPE_CHECKING:
    from vestibule.upstream.pool import Pool

MAX_INTERIM = 16
"""1xx answers that may come before the final one (RFC 9110, 15.2)."""

_GLANCED = 8192  # of a first read, as far as a plain head may reach
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Framing(enum.Enum):
    """How the end of an answer's body is known (RFC 9112, 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Answer(asyncio.BufferedProtocol, ABC):
    """See the module. left: of a body with a length, what the socket has not brought yet. public: the fields as any
    client gets them, where that is known. fault: what ended the exchange before its time."""

    __slots__ = (
        "_fields",
        "_fresh_parser",
        "_heard",
        "_interim",
        "_no_body",
        "_noise",
        "_paused",
        "_pool",
        "_read",
        "body",
        "buffered",
        "done",
        "fault",
        "framing",
        "head_done",
        "headers",
        "left",
        "limits",
        "parser",
        "public",
        "reusable",
        "status",
        "transport",
    )

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self.limits = limits
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.parser: Any = None
        self._fresh_parser = False
        self.done = True
        self.head_done = True
        self.reusable = True
        self.fault: UpstreamError | None = None
        self.status = 0
        self.headers: Sequence[Header] = ()
        self.public: tuple[Header, ...] | None = None
        self._fields: list[Header] = []
        self.framing = Framing.NONE
        self.body: list[bytes | memoryview] = []
        self.buffered = 0
        self.left = 0
        self._paused = False
        self._heard = False
        self._interim = 0
        self._noise = 0
        self._read = 0
        self._no_body = False

    def expect(self, *, no_body: bool) -> None:
        """An answer will come. ``no_body``: it has none whatever its fields say (HEAD)."""
        if not self._fresh_parser:
            self.parser = httptools.HttpResponseParser(self)
        self._fresh_parser = False
        self._no_body = no_body
        self.done = self.head_done = self._heard = False
        self.reusable = True
        self.fault = None
        self.left = 0

    @abstractmethod
    def fail(self, cause: Cause) -> None:
        """End the exchange with ``cause``."""

    @abstractmethod
    def permit(self) -> None:
        """The upstream has spoken: whoever waits to send it a body waits no longer."""

    # What was read.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._pool.buffers.current

    def read(self, nbytes: int) -> None:
        """Take over what was read."""
        buffers = self._pool.buffers
        if self.left:
            self._raw(buffers.taken(nbytes))
        elif self._heard or not self._glance(nbytes):
            self._parse(buffers.current[:nbytes])
        self._heard = True

    def _glance(self, nbytes: int) -> bool:
        """Read an answer's head, with which what was read begins, if it is a plain one; whether it is."""
        buffers = self._pool.buffers
        begin = bytes(buffers.current[: min(nbytes, _GLANCED)])
        head = self._pool.glance.read(begin)
        if head is None or (head.length is None and not self._no_body):
            return False
        self.status, self.headers, size, length, self.public = head
        self.head_done = self._fresh_parser = True  # which has seen nothing of this
        self.permit()
        if self._no_body or not length:
            self.framing = Framing.NONE
            self.done = True
            self.reusable = size == nbytes
        else:
            self.framing = Framing.LENGTH
            self.left = length
            if size < nbytes:
                self._raw(begin[size:] if nbytes <= _GLANCED else buffers.taken(nbytes, size))
        return True

    def _raw(self, data: bytes | memoryview) -> None:
        """A body of known length needs no parser once it has begun: its pieces go on as they came."""
        if len(data) > self.left:
            data = data[: self.left]
            self.reusable = False
        self.left -= len(data)
        self.body.append(data)
        self.buffered += len(data)
        if not self.left:
            self.done = True
        elif self.buffered >= self.limits.buffer and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _parse(self, data: memoryview) -> None:
        if not self._heard:
            self._interim = self._noise = self._read = 0
            self._fields = []
            self.public = None
        before = self.buffered
        self._read += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.reusable = False
            if not self.done:
                self.fail(Cause.GARBAGE)
                self.transport.abort()
            return
        if self.done or self.fault is not None:
            return
        if self.framing is Framing.LENGTH and self.head_done:
            self.left -= self.buffered - before
        elif self.buffered == before:
            # Neither body nor an end: fields, chunk extensions or trailers.
            self._noise += len(data)
            if self._noise > self.limits.header_bytes:
                self.fail(Cause.TOO_LARGE)
                self.transport.abort()
        else:
            self._noise = 0
        if self.buffered >= self.limits.buffer and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    # httptools

    def on_message_begin(self) -> None:
        if self.done:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:  # else a trailer
            self._fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if self.done:
            self.reusable = False
        elif status < 200:
            self._interim_answer(status)
        else:
            self._final_answer(status)

    def _interim_answer(self, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101 or self._interim > MAX_INTERIM:
            self._refuse(Cause.GARBAGE)
            return
        self._fields = []
        if status == 100:
            self.permit()

    def _final_answer(self, status: int) -> None:
        version = self.parser.get_http_version()
        headers = self.headers = self._fields
        if len(headers) > self.limits.header_count or (
            self._read > self.limits.header_bytes
            and sum(len(name) + len(value) for name, value in headers) > self.limits.header_bytes
        ):
            self._refuse(Cause.TOO_LARGE)
            return
        framing = self._framing(status, version)
        if framing is None or status > 599 or version not in ("1.1", "1.0"):
            self._refuse(Cause.GARBAGE)
            return
        self.status = status
        self.framing = framing
        self.head_done = True
        self.reusable = self.parser.should_keep_alive()
        if framing is Framing.NONE:
            # The parser may expect a body that will not come: the next answer gets a new one.
            self.done = True
        elif framing is Framing.CLOSE:
            self.reusable = False
        self.permit()

    def _framing(self, status: int, version: str) -> Framing | None:
        """RFC 9112, 6.3; None where it is ambiguous."""
        length: bytes | None = None
        coding: bytes | None = None
        for name, value in self.headers:
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                if length is not None:
                    return None
                length = value
            elif coding is not None:
                return None
            else:
                coding = value
        if length is not None and not _LENGTH.fullmatch(length):
            return None
        if coding is not None and (length is not None or coding.lower() != b"chunked" or version == "1.0"):
            return None
        if self._no_body or status == 204 or status == 304:
            return Framing.NONE
        if coding is not None:
            return Framing.CHUNKED
        if length is None:
            return Framing.CLOSE
        self.left = int(length)
        return Framing.LENGTH if self.left else Framing.NONE

    def on_body(self, data: bytes) -> None:
        if self.done:
            self.reusable = False
            return
        self.body.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head_done and not self.done:
            self.done = True
            self.left = 0
            self._fresh_parser = True

    def _refuse(self, cause: Cause) -> None:
        self.reusable = False
        self.fail(cause)
        self.transport.abort()
