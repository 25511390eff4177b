"""Requests that repeat the fields of an earlier one, byte for byte, as browsers' do on a kept connection.

What the parser and the framing rules found in these bytes before, they would find again: so only the first line is
read. Nothing but heads that were read alone, whole and in order is remembered: of requests without a body, that keep
the connection and change no protocol. Everything else goes to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vestibule.core.headers import Header
from vestibule.core.memo import Recent

MAX_KNOWN = 256
MAX_KNOWN_BYTES = 4096
AGE = 60.0
"""Heads that are remembered, the bytes of one at most, and for how many seconds."""

_END = b"\r\n\r\n"
# Of RFC 9112, 3, what framing.check_request_line lets pass of these methods.
_LINE = re.compile(rb"(GET|HEAD) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1")


class Repeats:
    """See the module; for all connections of a server."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: Recent[bytes, tuple[Header, ...]] = Recent(MAX_KNOWN, AGE)

    def read(self, data: bytes, now: float) -> tuple[str, bytes, tuple[Header, ...]] | None:
        """Method, target and fields of the request that ``data`` is, these as the very tuple that was remembered; None
        where the parser has to say. A message must begin with ``data``. now: the loop's time."""
        line, _, rest = data.partition(b"\r\n")
        headers = self._known.get(rest, now)
        if headers is None:
            return None
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        return match[1].decode("ascii"), match[2], headers

    def learn(self, data: bytes, headers: Sequence[Header]) -> None:
        """Remember that ``data``, which was one whole request, has these fields."""
        line, _, rest = data.partition(b"\r\n")
        if len(rest) <= MAX_KNOWN_BYTES and data.find(_END) == len(data) - len(_END) and _LINE.fullmatch(line):
            self._known.put(rest, tuple(headers))
