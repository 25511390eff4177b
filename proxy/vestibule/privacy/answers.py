"""Small ASGI answers: whole bodies with the headers that every page of ours carries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from starlette.types import Receive, Send

from vestibule.core.errors import VestibuleError

Header = tuple[bytes, bytes]

SECURITY: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
)
PRIVATE: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"vary", b"Cookie, Sec-GPC, DNT, Accept-Language"))
IMMUTABLE: tuple[Header, ...] = ((b"cache-control", b"public, max-age=31536000, immutable"),)


class TooLargeError(VestibuleError):
    """A body is longer than what is asked for: the sender's fault (413)."""


async def answer(
    send: Send,
    status: int,
    body: bytes,
    content_type: str,
    headers: Iterable[Header] = (),
    *,
    head: bool = False,
) -> None:
    """Send a whole answer. head: without its body."""
    start: list[Header] = [(b"content-type", content_type.encode("latin-1"))] if content_type else []
    start.append((b"content-length", str(len(body)).encode()))
    start.extend(headers)
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def answer_json(send: Send, status: int, data: Any, headers: Iterable[Header] = ()) -> None:
    """Send JSON that no cache keeps."""
    body = json.dumps(data, ensure_ascii=False, indent=1).encode() + b"\n"
    await answer(send, status, body, "application/json", (*PRIVATE, *SECURITY, *headers))


async def answer_text(send: Send, status: int, text: str, headers: Iterable[Header] = ()) -> None:
    """Send plain text that no cache keeps."""
    await answer(send, status, text.encode() + b"\n", "text/plain; charset=utf-8", (*PRIVATE, *SECURITY, *headers))


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body of a request. Raises TooLargeError beyond ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLargeError(f"a body of at most {limit} bytes is read here")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
