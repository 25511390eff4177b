"""Decides on scripts: by their addresses, or by the beginning of their text."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.core.html import elements
from vestibule.core.html.attributes import Item, first_values, spoofs
from vestibule.core.html.copier import LIMIT
from vestibule.core.html.disarming import Disarming
from vestibule.core.html.gate import mark
from vestibule.core.html.judge import Verdict
from vestibule.core.html.namespaces import Reading
from vestibule.core.html.raw_text import RAW_TEXT, script_end
from vestibule.core.html.scanner import INERT

_SCRIPT_ATTRIBUTES = frozenset(elements.RULES[b"script"]) | {b"type"}
# A terminator that has begun at the limit is seen whole by then.
HELD_TEXT = LIMIT + 16


class Scripts(Disarming):
    """Reads scripts whole, as far as `LIMIT` allows."""

    def _script(self, start: int, after_name: int, end: int, items: Sequence[Item], self_closing: bool = False) -> bool:
        values = first_values(items)
        before, reading = None, Reading.HTML
        if self._namespaces.active or self._frameset:
            before = self._namespaces.copy()
            reading = self._follow(b"script", b"", self_closing)
        held = self._judge_script(values)
        close = -1
        external = b"src" in values or (reading is not Reading.HTML and (b"href" in values or b"xlink:href" in values))
        if held is None and not external and not (self_closing and reading is Reading.FOREIGN):
            text, close = self._script_text(start, end, reading)
            if text is None:
                self._position = start
                if before is not None:
                    self._namespaces = before
                return False
            held = self._judge_inline(values, text)
            if held is None and reading is Reading.UNSURE and b"<" in text:
                # Its text will be disarmed for those who take it for markup; as a script it would be another.
                self._emit(after_name, INERT)
        self._position = end
        if held is not None:
            self._hold_script(held, after_name, items)
        elif any(map(spoofs, values)):
            self._rename(items, frozenset())
        if close >= 0 and reading is Reading.HTML:
            self._position = close
        elif reading is not Reading.HTML or not self._buffer.startswith(b"</script>", end):
            self._enter_raw(b"script", reading, start)
        return True

    def _hold_script(self, held: Verdict, after_name: int, items: Sequence[Item]) -> None:
        self._judge.note(*held[:3])
        self._emit(after_name, INERT + mark(held.gated))
        self._rename(items, _SCRIPT_ATTRIBUTES)

    def _judge_script(self, values: dict[bytes, bytes]) -> Verdict | None:
        for name, value in values.items():
            kind = elements.RULES[b"script"].get(name)
            if kind is not None:
                verdict = self._judge.attribute(name, value, kind)
                if verdict is not None:
                    return verdict
        return None

    def _script_text(self, start: int, end: int, reading: Reading) -> tuple[bytes | None, int]:
        """The text of an inline script, or its first `LIMIT` bytes; None where more bytes are needed. And where it
        ends, -1 where that isn't known."""
        buffer = self._buffer
        offset, state = self._resumed(start)
        position = max(end, start + offset)
        if reading is Reading.HTML:
            found, position, state = script_end(buffer, position, state)
        else:
            match = RAW_TEXT[b"script"].end.search(buffer, position)
            found, position = (-1, max(end, len(buffer) - 9)) if match is None else (match.start(), match.end())
        if found < 0 and len(buffer) - end < HELD_TEXT and not self._final:
            self._resume_next = (position - start, state)
            return None, -1
        return buffer[end : min(found if found >= 0 else len(buffer), end + LIMIT)], found

    def _judge_inline(self, values: dict[bytes, bytes], text: bytes) -> Verdict | None:
        kind = self._judge.words.script_type(values[b"type"]) if b"type" in values else elements.script_type(values)
        if kind == "speculationrules":
            return self._judge.speculation(text)
        gated = self._judge.inline(text) if kind == "script" else None
        return None if gated is None else Verdict(gated, "inline", "", "")
