"""An incremental tokenizer for HTML on bytes (HTML Standard, section 13.2.5), made to copy what it reads.

It takes a page in pieces of any size and agrees with browsers on where tags, attributes, comments and raw text begin
and end; what it hands out is the same however the page was cut. Text runs through it; only a tag that is not whole yet
is held, up to `copier.LIMIT` bytes (see `long_tags`).

What a tag means is the subclass's business: it says where the next tag is (`_next_tag`), reads it (`_read_tag`), and
whether raw text follows (`_raw`).
"""

from __future__ import annotations

import re

from vestibule.core.html.copier import LIMIT
from vestibule.core.html.grammar import NEXT_TAG
from vestibule.core.html.long_tags import LongTags
from vestibule.core.html.namespaces import Reading
from vestibule.core.html.raw_text import (
    BOGUS_COMMENT,
    CDATA,
    CDATA_ESCAPED,
    COMMENT,
    SECTIONS,
    Raw,
    Treat,
    escaped,
    script_end,
)


class Tokenizer(LongTags):
    """Copies a page while it reads it."""

    def __init__(self) -> None:
        super().__init__()
        self._raw: Raw | None = None
        self._script_state = 0

    # What the subclass adds

    def _next_tag(self, buffer: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
        """Find the next tag to read, as `grammar.Scan` does."""
        match = NEXT_TAG.match(buffer, position)
        if match is None or match[2] is None:
            return None, position if match is None else match.end()
        return match, match.start(2) - (2 if match[1] else 1)

    def _read_tag(self, match: re.Match[bytes], start: int) -> bool:  # noqa: ARG002 – for subclasses
        """Read a tag and set ``_position`` behind it; or at its start and return False: more is needed."""
        self._position = match.end()
        return True

    def _read_text(self, position: int) -> None:
        """Read text where `_next_tag` stopped at it."""
        self._position = position + 1

    def _glance(self) -> None:
        """Go on over what can be settled at a glance; stop wherever a closer look is due."""

    def _cdata(self) -> Reading:
        """By whose rules ``<![CDATA[`` is read here."""
        return Reading.HTML

    def _begin_section(self, raw: Raw, start: int) -> None:  # noqa: ARG002 – for subclasses
        """Begin to read a comment or the like, which began at ``start``; ``_position`` is behind its mark."""
        self._raw = raw

    # Reading

    def _run(self) -> None:
        self._glance()
        while self._step():
            self._glance()

    def _step(self) -> bool:
        """Read one thing; False where more bytes are needed."""
        if self._raw is not None:
            return self._read_raw(self._raw)
        if self._long is not None:
            return self._read_long(self._long)
        if self._unfinished and self._position == 0 and not self._finished():
            return self._unfinished_tag(0)
        match, start = self._next_tag(self._buffer, self._position)
        if match is None:
            self._position = start
            return self._read_odd()
        if match.end() - start > LIMIT:
            return self._begin_long(start)
        return self._read_tag(match, start)

    def _seal(self, rest: bytes) -> bytes:
        """End what is still open, so that what follows is read as HTML by every reader."""
        raw = self._raw
        if raw is not None:
            rest = rest if raw.treat is Treat.COPY else b"" if raw.treat is Treat.DROP else escaped(raw, rest)
            if raw in SECTIONS:
                return rest if raw is CDATA_ESCAPED else rest + {b"--": b"-->", b">": b">", b"]]": b"]]>"}[raw.name]
            if raw.name == b"script" and raw.treat is Treat.COPY and self._script_state:
                return rest + b"--></script>"
            return rest + b"</" + raw.name + b">"
        if self._long is not None:
            return {b'"': b'">', b"'": b"'>"}.get(self._long.quote, b">")
        return b"<" if rest == b"<" else b""

    # What is no whole tag

    def _read_odd(self) -> bool:
        """Read what the scan stopped at; False where more bytes are needed."""
        position = self._position
        ahead = self._buffer[position : position + 9]
        if not ahead:
            return False
        if ahead[:1] != b"<":
            self._read_text(position)
            return True
        second = ahead[1:2]
        if second.isalpha() or (second == b"/" and ahead[2:3].isalpha()):
            return self._unfinished_tag(position)
        if second == b"!":
            return self._read_declaration(ahead)
        if second == b"?" or (second == b"/" and len(ahead) > 2):
            self._position += 2
            self._begin_section(BOGUS_COMMENT, position)
            return True
        if second and second != b"/":
            self._read_text(position)
            return True
        return False

    def _read_declaration(self, ahead: bytes) -> bool:
        """Begin a comment, a DOCTYPE, a CDATA section or a bogus comment."""
        start = self._position
        if ahead.startswith(b"<!--"):
            return self._read_comment(ahead)
        if ahead == b"<![CDATA[":
            reading = self._cdata()
            self._position += 2 if reading is Reading.HTML else 9
            if reading is Reading.UNSURE:
                self._emit(start, b"", self._position)
            raw = {Reading.HTML: BOGUS_COMMENT, Reading.FOREIGN: CDATA, Reading.UNSURE: CDATA_ESCAPED}[reading]
            self._begin_section(raw, start)
            return True
        if (b"<!--".startswith(ahead) or b"<![CDATA[".startswith(ahead)) and not self._final:
            return False
        self._position += 2
        self._begin_section(BOGUS_COMMENT, start)
        return True

    def _read_comment(self, ahead: bytes) -> bool:
        """Begin a comment; ``<!-->`` and ``<!--->`` are whole ones."""
        start = self._position
        if ahead[4:] in (b"", b"-") and not self._final:
            return False
        self._position += 4
        if ahead[4:5] == b">" or ahead[4:6] == b"->":
            self._begin_section(BOGUS_COMMENT, start)
        else:
            self._begin_section(COMMENT, start)
        return True

    def _read_raw(self, raw: Raw) -> bool:
        """Read raw text, a comment or a section up to its end; False where more bytes are needed."""
        if raw.name == b"script" and raw.treat is Treat.COPY:
            return self._read_script_text()
        buffer = self._buffer
        match = raw.end.search(buffer, self._position)
        if match is not None:
            end = match.end() if raw in SECTIONS else match.start()
            if raw.treat is not Treat.COPY:
                self._replace_raw(raw, match.start(), end)
            self._position = end
            self._raw = None
            return True
        end = len(buffer) if self._final and not self._sealed else max(self._position, len(buffer) - raw.tail)
        if raw.treat is not Treat.COPY:
            self._replace_raw(raw, end, end)
        self._position = end
        return False

    def _replace_raw(self, raw: Raw, end: int, skip_to: int) -> None:
        text = b"" if raw.treat is Treat.DROP else escaped(raw, self._buffer[self._position : end])
        self._emit(self._position, text, skip_to)

    def _read_script_text(self) -> bool:
        end, position, self._script_state = script_end(self._buffer, self._position, self._script_state)
        if end < 0:
            self._position = len(self._buffer) if self._final and not self._sealed else position
            return False
        self._position = end
        self._raw = None
        self._script_state = 0
        return True
