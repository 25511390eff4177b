"""Text that holds no markup, and what ends it: raw text, comments, sections, scripts (HTML Standard, 13.2.5)."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from vestibule.core.html.grammar import any_case, compile_bytes


class Treat(Enum):
    """What becomes of text that is read up to its end."""

    COPY = "copy"
    ESCAPE = "escape"
    """Angle brackets are disarmed, since another reading takes it for markup."""
    DROP = "drop"


class Raw(NamedTuple):
    """Text being read up to its end. tail: most bytes of an unfinished end."""

    name: bytes
    end: re.Pattern[bytes]
    tail: int
    treat: Treat = Treat.COPY


COMMENT = Raw(b"--", compile_bytes(r"--!?>"), 3)
BOGUS_COMMENT = Raw(b">", compile_bytes(r">"), 0)
CDATA = Raw(b"]]", compile_bytes(r"\]\]>"), 2)
CDATA_ESCAPED = CDATA._replace(treat=Treat.ESCAPE)
SECTIONS = (COMMENT, BOGUS_COMMENT, CDATA, CDATA_ESCAPED)
"""What ends with a mark of its own rather than at an end tag."""

PLAINTEXT = Raw(b"plaintext", compile_bytes(r"(?!)"), 0)
RAW_TEXT = {
    name: Raw(name, compile_bytes(rf"</{any_case(name.decode())}[\t\n\f\r />]"), len(name) + 2)
    for name in (b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes", b"script", b"noscript")
}
RAW_TEXT_ESCAPED = {name: raw._replace(treat=Treat.ESCAPE) for name, raw in RAW_TEXT.items()}

_SCRIPT = any_case("script")
_SCRIPT_STATES = (
    compile_bytes(rf"<(?:/{_SCRIPT}[\t\n\f\r />]|!--)"),
    compile_bytes(rf"-->|</?{_SCRIPT}[\t\n\f\r />]"),
    compile_bytes(rf"-->|</{_SCRIPT}[\t\n\f\r />]"),
)
"""Script data: plain, escaped (after ``<!--``), double escaped (after ``<script`` in that)."""


def escaped(raw: Raw, text: bytes) -> bytes:
    """Raw text so written that markup readers find none in it."""
    if raw.name == CDATA.name:
        text = text.replace(b"&", b"&amp;").replace(b">", b"&gt;")
    return text.replace(b"<", b"&lt;")


def script_end(buffer: bytes, position: int, state: int) -> tuple[int, int, int]:
    """Find where script data ends: offset of its end tag or -1, where to go on reading, and the state there."""
    if state == 0:
        # The usual case, made fast: plain lower case, and nothing before it that might be another end or an escape.
        end = buffer.find(b"</script", position)
        if (
            end >= 0
            and buffer[end + 8 : end + 9] == b">"
            and buffer.find(b"</s", position, end) < 0
            and buffer.find(b"</S", position, end) < 0
            and buffer.find(b"<!--", position, end) < 0
        ):
            return end, end + 9, 0
    while True:
        match = _SCRIPT_STATES[state].search(buffer, position)
        if match is None:
            return -1, max(position, len(buffer) - 8), state
        token = match[0]
        if token == b"-->":
            state, position = 0, match.end()
        elif token == b"<!--":
            # Its own dashes may begin the "-->" that ends it.
            state, position = 1, match.end() - 2
        elif token[1:2] == b"/":
            if state < 2:
                return match.start(), match.end(), state
            state, position = 1, match.end() - 1
        else:
            state, position = 2, match.end() - 1
