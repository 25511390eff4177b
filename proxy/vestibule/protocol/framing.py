"""What a request may look like and where its body ends (RFC 9112, 3 and 6), more strictly than the RFC asks."""

from __future__ import annotations

import re
from typing import NamedTuple

from vestibule.core.forwarding import is_host
from vestibule.core.headers import Header

_LENGTH = re.compile(rb"[0-9]{1,18}")
# RFC 9112, 3.2.1, and what browsers write beyond it; never a fragment, a space or anything outside ASCII.
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*|\*")
# What the parser takes for methods and a site has no use for: tunnels, echoes of one's own cookies, other protocols.
_FOREIGN_METHODS = frozenset(
    {
        "ANNOUNCE",
        "CONNECT",
        "DESCRIBE",
        "FLUSH",
        "GET_PARAMETER",
        "PAUSE",
        "PLAY",
        "PRI",
        "RECORD",
        "REDIRECT",
        "SETUP",
        "SET_PARAMETER",
        "SOURCE",
        "TEARDOWN",
        "TRACE",
    }
)
_JUDGED = frozenset({b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"})


class RefusedError(Exception):
    """Carries the status out of a parser callback."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Framing(NamedTuple):
    """length: of the body in bytes. chunked: it comes in chunks instead. expects: the client waits for a 100 before it
    sends it. upgrade: the protocol that it would change to, in lower case."""

    length: int
    chunked: bool
    expects: bool
    upgrade: bytes


BODILESS = Framing(0, chunked=False, expects=False, upgrade=b"")


def check_request_line(version: str, method: str, target: bytes) -> None:
    """Raise RefusedError for what no site is asked. version: as in ``1.1``."""
    if version not in ("1.1", "1.0"):
        raise RefusedError(505)
    if method in _FOREIGN_METHODS:
        raise RefusedError(405 if method == "TRACE" else 400)
    if not _TARGET.fullmatch(target) or (target == b"*" and method != "OPTIONS"):
        raise RefusedError(400)


def judge(headers: list[Header], version: str) -> Framing:
    """How the body of a request is framed.

    Raises 400 where another reader might come to another conclusion (RFC 9112, 3.2 and 6.3, more strictly).
    """
    host = length = coding = upgrade = None
    expects = False
    for name, value in headers:
        if name not in _JUDGED:
            continue
        if name == b"host":
            if host is not None or not is_host(value):
                raise RefusedError(400)
            host = value
        elif name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise RefusedError(400)
            length = int(value)
        elif name == b"transfer-encoding":
            if coding is not None or value.lower() != b"chunked" or version != "1.1":
                raise RefusedError(400)
            coding = value
        elif name == b"upgrade":
            upgrade = b"" if upgrade is not None else value.lower()
        elif name == b"expect":
            expects = version == "1.1" and value.lower() == b"100-continue"
    if host is None or (length is not None and coding is not None):
        raise RefusedError(400)
    has_body = bool(length) or coding is not None
    return Framing(length or 0, coding is not None, expects and has_body, upgrade or b"")
