"""What can go wrong between us and the upstream, and what the visitor is told of it: nothing but that it did."""

from __future__ import annotations

import enum
from http import HTTPStatus

from vestibule.core.errors import VestibuleError


class Cause(enum.Enum):
    """Why the upstream has not answered. The value is a word for metrics and logs."""

    REFUSED = "refused"
    TLS = "tls"
    RESET = "reset"
    GARBAGE = "garbage"
    TOO_LARGE = "too-large"
    CONNECT_TIMEOUT = "connect-timeout"
    SILENT = "silent"
    STALLED = "stalled"
    OVERLOAD = "overload"
    LOOP = "loop"
    BAD_BODY = "bad-body"
    CLIENT_GONE = "client-gone"


_STATUS = {
    Cause.CONNECT_TIMEOUT: 504,
    Cause.SILENT: 504,
    Cause.STALLED: 504,
    Cause.OVERLOAD: 503,
    Cause.BAD_BODY: 400,
}


class UpstreamError(VestibuleError):
    """The exchange with the upstream failed. ``stale``: before a byte came, on a connection that had been used before,
    so that the upstream can't have begun to answer."""

    def __init__(self, cause: Cause, *, stale: bool = False) -> None:
        super().__init__(cause.value)
        self.cause = cause
        self.stale = stale

    @property
    def status(self) -> int:
        return _STATUS.get(self.cause, 502)


class ResponseAbortedError(ConnectionAbortedError):
    """Raised after a response was begun that cannot be finished: the server must break the connection, so that the part
    that was sent is never taken for the whole. Carries no detail."""


_TEXT = {
    400: "The request could not be understood.",
    502: "The site could not be reached. Please try again in a moment.",
    503: "The site is busy. Please try again in a moment.",
    504: "The site took too long to answer. Please try again in a moment.",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}}</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


def error_page(status: int) -> bytes:
    """A small page that loads nothing, sets nothing and names nothing inside."""
    title = HTTPStatus(status).phrase
    return _PAGE.format(title=title, text=_TEXT.get(status, title)).encode()


def error_headers(status: int, length: int) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % length),
        (b"cache-control", b"no-store"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    return headers
