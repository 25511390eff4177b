"""Heads and bare answers as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from vestibule.core.headers import Header

# All that a line of a head may hold (RFC 9110, 5.5): HTAB, visible characters, space, obs-text.
_SAFE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])


def joined(lines: list[bytes]) -> bytes:
    """These lines of a head, without the last line end. Raises ValueError where one holds a line break or a control
    character."""
    if b"".join(lines).translate(None, _SAFE):
        raise ValueError("a response header holds a line break or a control character")
    return b"\r\n".join(lines)


def status_line(status: int) -> bytes:
    """Without its line end."""
    return STATUS_LINE[status][:-2]


def date() -> bytes:
    """Now, as in ``Date`` (RFC 9110, 6.6.1)."""
    return formatdate(usegmt=True).encode("ascii")


def bare(status: int, *, head_only: bool = False) -> bytes:
    """A whole error response that names nothing and ends the connection."""
    line = status_line(status)
    text = line[9:] + b"\n"
    fields: Iterable[Header] = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"cache-control", b"no-store"),
        *(((b"retry-after", b"1"),) if status == 503 else ()),
        (b"date", date()),
        (b"connection", b"close"),
    )
    return joined([line, *map(b": ".join, fields), b"", b""]) + (b"" if head_only else text)
