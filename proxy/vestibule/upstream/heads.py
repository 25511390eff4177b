"""What is sent to the upstream of a request's fields.

Browsers send the same fields with request after request; what was worked out for them is remembered for the next, in
memory that is bounded in size and time. Nothing that follows from a target or a body is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from vestibule.core.forwarding import Client
from vestibule.core.headers import VIA, Header, hashable, request_headers
from vestibule.core.memo import Recent, Same
from vestibule.upstream.faults import Cause

MAX_LOOPS = 8
"""Times that our name may stand in ``Via`` before a request is taken for one that runs in a circle."""

MAX_KNOWN = 256
MAX_KNOWN_BYTES = 4096
AGE = 60.0
"""Requests whose fields are remembered, how long these may be, and for how many seconds."""


class Head(NamedTuple):
    """lines: the fields as they are sent, each with its line end, and the empty line. fault: why the request can't be
    sent at all. length: of its body in bytes, None where none was announced; chunked: it has one that goes in chunks.
    expects: it waits for ``100 Continue``."""

    lines: bytes
    client: Client
    fault: Cause | None
    length: int | None
    chunked: bool
    expects: bool


class Heads:
    """See the module. trusted: whose ``Forwarded`` and ``X-Forwarded-*`` is believed."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        self._trusted = trusted
        self._known: Recent[tuple[object, ...], Head] = Recent(MAX_KNOWN, AGE)
        self._same: Same[Head] = Same(MAX_KNOWN, AGE)

    def of(self, scope: Any, now: float) -> Head:
        """The head for a request of HTTP (ASGI's scope), without its first line. now: by ``time.monotonic``."""
        peer = scope.get("client")
        address = peer[0] if peer else None
        scheme = scope.get("scheme", "http")
        # Other versions know where a body ends without either field (RFC 9113, 8.1).
        unsaid = scope.get("http_version", "1.1")[:1] != "1" and scope["method"] not in ("GET", "HEAD")
        fields, whose = scope["headers"], (address, scheme, unsaid)
        head = self._same.get(fields, whose, now)
        if head is not None:
            return head
        headers = hashable(fields)
        head = self._known.get((whose, headers), now)
        if head is None:
            head = _head(headers, address, scheme, self._trusted, unsaid=unsaid)
            if head.length or head.chunked or head.fault is not None or len(head.lines) > MAX_KNOWN_BYTES:
                return head
            self._known.put((whose, headers), head)
        if headers is fields:
            self._same.put(headers, whose, head)
        return head


def _head(headers: Iterable[Header], peer: str | None, scheme: str, trusted: tuple[str, ...], *, unsaid: bool) -> Head:
    """RFC 9112, 6: a length that was announced is kept and held to, any other body goes in chunks."""
    fields, client = request_headers(headers, peer=peer, scheme=scheme, trusted=trusted)
    fault = Cause.LOOP if fields[-1][1].count(VIA) > MAX_LOOPS else None
    length: int | None = None
    coded, expects = unsaid, False
    for name, value in headers:
        if name == b"content-length":
            # Servers refuse these; in front of one that doesn't, nothing ambiguous may reach the upstream.
            if length is not None or not (value.isdigit() and len(value) <= 18):
                fault = Cause.BAD_BODY
            else:
                length = int(value)
        elif name == b"transfer-encoding":
            coded = True
        elif name == b"expect":
            expects = value.lower() == b"100-continue"
    chunked = coded and length is None
    if chunked:
        fields.append((b"transfer-encoding", b"chunked"))
    expects = expects and (chunked or bool(length))
    if expects:
        fields.append((b"expect", b"100-continue"))
    lines = b"\r\n".join([*map(b": ".join, fields), b"", b""])
    return Head(lines, client, fault, length, chunked, expects)
