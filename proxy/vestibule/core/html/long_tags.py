"""Tags that are not whole yet, or too long to be held until they are.

A tag of more than `copier.LIMIT` bytes is read attribute by attribute, and an attribute longer than that piece by
piece, so that memory stays bounded whatever comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vestibule.core.html.copier import LIMIT, Copier
from vestibule.core.html.grammar import ATTRIBUTE, TAG_END, compile_bytes

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


class LongTags(Copier):
    """Waits for the rest of a tag, or reads it piecemeal."""

    def __init__(self) -> None:
        super().__init__()
        self._long: LongTag | None = None

    # What the subclass adds

    def _open_long(self, long: LongTag, start: int) -> None:
        """A tag of more than `LIMIT` bytes begins; ``_position`` is behind its name."""

    def _long_attribute(self, long: LongTag, start: int, end: int) -> None:
        """One attribute of a long tag, separators before it excluded."""

    def _oversize_attribute(self, long: LongTag, start: int, name: bytes, head: bytes) -> None:
        """An attribute of more than `LIMIT` bytes in a long tag: its lower-case name and how its value begins."""

    def _close_long(self, long: LongTag) -> None:
        """A long tag is over; ``_position`` is behind it."""

    # Tags that are not whole yet

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

    # Tags that are too long to hold

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
