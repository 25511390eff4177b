"""An incremental tokenizer for HTML on bytes (HTML Standard, section 13.2.5), made to copy what it reads.

It takes a page in pieces of any size and agrees with browsers on where tags, attributes, comments and raw text begin
and end; what it hands out is the same however the page was cut. Text runs through it; only a tag that is not whole yet
is held, up to `LIMIT` bytes. A longer one is read attribute by attribute, and an attribute longer than that piece by
piece, so that memory stays bounded whatever comes.

What a tag means is the subclass's business: it says where the next tag is (`_next_tag`), reads it (`_read_tag`), and
whether raw text follows (`_raw`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from vestibule.core.html.grammar import ATTRIBUTE, NEXT_TAG, TAG_END, any_case, compile_bytes
from vestibule.core.html.namespaces import Reading

LIMIT = 65536
"""Most bytes of one tag, or of an inline script, that are held until they are whole."""


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

_ONE_ATTRIBUTE = compile_bytes(ATTRIBUTE)
_TAG_NAME = compile_bytes(r"</?[a-zA-Z][^\t\n\f\r />]*+")
_SPACES = compile_bytes(r"[\t\n\f\r ]*+")
_SEPARATORS = compile_bytes(r"[\t\n\f\r /]*+")
_OPENED_VALUE = compile_bytes(
    r"[\t\n\f\r /]*+([^\t\n\f\r />][^\t\n\f\r />=]*+)(?:([\t\n\f\r ]*+=[\t\n\f\r ]*+)([\"']?+)|([\t\n\f\r ]++)?+)"
)
_AFTER_VALUE = {b'"': compile_bytes('"'), b"'": compile_bytes("'"), b"": compile_bytes(r"[\t\n\f\r >]")}
_AFTER_NAME = compile_bytes(r"[\t\n\f\r />=]")
_AFTER_SPACES = compile_bytes(r"[^\t\n\f\r ]")
_AFTER_TAG_NAME = compile_bytes(r"[\t\n\f\r />]")
_CLOSING = compile_bytes(r"[>\"']")
_TAG_END = compile_bytes(TAG_END)
_SHORT = 256
"""Most bytes of an unfinished attribute that are read again with each quote that comes."""


class Part(Enum):
    """Where in a long tag the reader stands; all but the first only within an attribute too long to hold."""

    BETWEEN = "between"
    NAME = "name"
    AFTER_NAME = "after name"
    BEFORE_VALUE = "before value"
    VALUE = "value"


_PART_ENDS = {
    Part.NAME: _AFTER_NAME,
    Part.AFTER_NAME: compile_bytes(r"[^\t\n\f\r ]"),
    Part.BEFORE_VALUE: compile_bytes(r"[^\t\n\f\r ]"),
}


@dataclass(slots=True)
class LongTag:
    """A tag that is read piecemeal. name: lower case; ``-`` where it is too long to be anyone's."""

    name: bytes
    closing: bool
    part: Part = Part.BETWEEN
    slash: bool = False
    quote: bytes = b""


class Tokenizer:
    """Copies a page while it reads it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._copied = 0
        self._out: list[bytes] = []
        self._started = False
        self._final = False
        self._sealed = False
        self._raw: Raw | None = None
        self._script_state = 0
        self._long: LongTag | None = None
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._wait_for: re.Pattern[bytes] | None = None
        self._resume = (0, 0)
        self._resume_next = (0, 0)
        self._unfinished = self._unfinished_next = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what can be said so far."""
        if self._wait_for is not None and self._waiting_size + len(data) <= LIMIT and not self._wait_for.search(data):
            self._waiting.append(data)
            self._waiting_size += len(data)
            return b""
        return self._work(data)

    def close(self) -> bytes:
        """The page is over: return the rest of it."""
        self._final = True
        done = self._work(b"")
        rest, self._buffer = self._buffer, b""
        return done + (self._seal(rest) if self._sealed else self._last() + rest)

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

    def _open_long(self, long: LongTag, start: int) -> None:
        """A tag of more than `LIMIT` bytes begins; ``_position`` is behind its name."""

    def _long_attribute(self, long: LongTag, start: int, end: int) -> None:
        """One attribute of a long tag, separators before it excluded."""

    def _oversize_attribute(self, long: LongTag, start: int, name: bytes, head: bytes) -> None:
        """An attribute of more than `LIMIT` bytes in a long tag: its lower-case name and how its value begins."""

    def _close_long(self, long: LongTag) -> None:
        """A long tag is over; ``_position`` is behind it."""

    def _last(self) -> bytes:
        """What is to be put in before the rest, when the page is over."""
        return b""

    # Feeding

    def _take(self, data: bytes) -> None:
        if self._waiting:
            self._waiting.append(data)
            data = b"".join(self._waiting)
            self._waiting.clear()
        elif self._buffer:
            data = self._buffer + data
        self._wait_for = None
        self._buffer, self._position, self._copied = data, 0, 0

    def _work(self, data: bytes) -> bytes:
        self._take(data)
        if self._started or self._start():
            self._run()
        self._resume, self._resume_next = self._resume_next, (0, 0)
        self._unfinished, self._unfinished_next = self._unfinished_next, False
        out, self._out = self._out, []
        if self._copied < self._position:
            out.append(self._buffer[self._copied : self._position])
        self._buffer = self._buffer[self._position :]
        if self._wait_for is not None:
            self._waiting.append(self._buffer)
            self._waiting_size = len(self._buffer)
        return out[0] if len(out) == 1 else b"".join(out)

    def _start(self) -> bool:
        """A byte order mark stays first."""
        if self._buffer.startswith(b"\xef\xbb\xbf"):
            self._position = 3
        elif b"\xef\xbb\xbf".startswith(self._buffer) and not self._final:
            return False
        self._started = True
        return True

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

    def _emit(self, until: int, instead: bytes = b"", skip_to: int | None = None) -> None:
        """Copy the buffer up to ``until``, then put ``instead`` in place of what follows up to ``skip_to``."""
        if self._copied < until:
            self._out.append(self._buffer[self._copied : until])
        if instead:
            self._out.append(instead)
        self._copied = until if skip_to is None else skip_to

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

    # Tags that are not whole yet, or too long to hold

    def _resumed(self, start: int) -> tuple[int, int]:
        """How far something that was held was read already; what is held always stands first in the buffer."""
        return self._resume if start == 0 else (0, 0)

    def _unfinished_tag(self, start: int) -> bool:
        """Wait for the rest of a tag, or begin to read it piecemeal."""
        if len(self._buffer) - start > LIMIT:
            return self._begin_long(start)
        if not self._final:
            self._wait(start)
        return False

    def _wait(self, start: int) -> None:
        """Note what must come before it is worth reading the tag again, so that slow input costs linear time."""
        position = self._read_attributes(start, self._resumed(start)[0])
        self._resume_next, self._unfinished_next = (position - start, 0), True
        buffer, end = self._buffer, len(self._buffer)
        name = _TAG_NAME.match(buffer, start)
        opened = _OPENED_VALUE.match(buffer, position)
        if name is None or name.end() == end:
            self._wait_for = _AFTER_TAG_NAME
        elif opened is not None and opened[3]:
            within = buffer.find(opened[3], opened.end()) < 0
            self._wait_for = _AFTER_VALUE[opened[3]] if within else _CLOSING
        elif opened is None or end - position < _SHORT:
            # Without a ">" no tag is whole, and only a quote can make it part of a value.
            self._wait_for = _CLOSING
        elif opened[2] or opened[4]:
            self._wait_for = _AFTER_SPACES if opened.end() == end else _AFTER_VALUE[b""]
        else:
            self._wait_for = _AFTER_NAME

    def _finished(self) -> bool:
        """Whether a tag that was not whole is now, told from what is new."""
        position = self._read_attributes(0, self._resume[0])
        self._resume = (position, 0)
        return _TAG_END.match(self._buffer, position) is not None

    def _read_attributes(self, start: int, offset: int) -> int:
        """Where the whole attributes of an unfinished tag end, the first ``offset`` bytes of which are read already."""
        name = _TAG_NAME.match(self._buffer, start)
        position = max(name.end() if name is not None else start + 1, start + offset)
        while (end := self._attribute_end(position)) >= 0:
            position = end
        return position

    def _attribute_end(self, position: int) -> int:
        """Where the attribute ends that begins here; -1 where that hangs on bytes to come (a sign, more of a value)."""
        match = _ONE_ATTRIBUTE.match(self._buffer, position)
        return match.end() if match is not None and self._spaces_end(match.end()) < len(self._buffer) else -1

    def _spaces_end(self, position: int) -> int:
        match = _SPACES.match(self._buffer, position)
        return position if match is None else match.end()

    def _begin_long(self, start: int) -> bool:
        """Begin to read a tag of more than `LIMIT` bytes attribute by attribute."""
        match = _TAG_NAME.match(self._buffer, start)
        name = match[0] if match is not None else b""
        closing = name.startswith(b"</")
        if len(name) > LIMIT:
            self._long = LongTag(b"-", closing, Part.NAME)
            name = name[:LIMIT]
        else:
            self._long = LongTag(name[2 if closing else 1 :].lower(), closing)
        self._position = start + len(name)
        self._open_long(self._long, start)
        return True

    def _read_long(self, long: LongTag) -> bool:
        """Read on in a long tag; False where more bytes are needed."""
        buffer = self._buffer
        if long.part is not Part.BETWEEN:
            return self._skip_part(long)
        separators = _SEPARATORS.match(buffer, self._position)
        position = separators.end() if separators is not None else self._position
        if position > self._position:
            long.slash = buffer[position - 1 : position] == b"/"
            self._position = position
        if position >= len(buffer):
            return False
        if buffer[position : position + 1] == b">":
            self._position = position + 1
            self._long = None
            self._close_long(long)
            return True
        long.slash = False
        end = self._attribute_end(position)
        if end >= 0 and self._spaces_end(end) - position <= LIMIT:
            self._long_attribute(long, position, end)
            self._position = end
            return True
        if len(buffer) - position > LIMIT:
            opened = _OPENED_VALUE.match(buffer, position, position + LIMIT)
            if opened is not None:
                head = buffer[opened.end() : min(opened.end() + 64, position + LIMIT)]
                self._oversize_attribute(long, position, opened[1].lower(), head)
            long.part = Part.NAME
            self._position = position + 1
            return True
        return False

    def _skip_part(self, long: LongTag) -> bool:
        """Go on in the middle of an attribute that is too long to hold; False where more bytes are needed."""
        pattern = _AFTER_VALUE[long.quote] if long.part is Part.VALUE else _PART_ENDS[long.part]
        match = pattern.search(self._buffer, self._position)
        if match is None:
            self._position = len(self._buffer)
            return False
        position, byte = match.start(), match[0]
        if long.part in (Part.NAME, Part.AFTER_NAME):
            if byte == b"=":
                long.part, position = Part.BEFORE_VALUE, position + 1
            elif long.part is Part.NAME and byte in b"\t\n\f\r ":
                long.part = Part.AFTER_NAME
            else:
                long.part = Part.BETWEEN
        elif long.part is Part.BEFORE_VALUE:
            long.part = Part.BETWEEN if byte == b">" else Part.VALUE
            long.quote = byte if byte in (b'"', b"'") else b""
            position += len(long.quote)
        else:
            position += len(long.quote)
            long.part, long.quote = Part.BETWEEN, b""
        self._position = position
        return True


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
