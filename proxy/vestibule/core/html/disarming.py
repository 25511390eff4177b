"""Disarms what is held back: its attributes get other names, and keep their bytes and quotes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from vestibule.core.html import elements
from vestibule.core.html.attributes import (
    Item,
    Replacement,
    changes_encoding,
    first,
    first_values,
    quoted_span,
    read_items,
    spoofs,
)
from vestibule.core.html.gate import UNREADABLE, mark
from vestibule.core.html.judge import Verdict
from vestibule.core.html.page import DEEPEST_DOCUMENT
from vestibule.core.html.placing import Placing
from vestibule.core.html.references import escape_attribute
from vestibule.core.html.scanner import OURS
from vestibule.core.html.vocabulary import word


class Disarming(Placing):
    """Decides on the attributes of tags."""

    def _disarm(self, rules: dict[bytes, str], start: int, after_name: int, items: Sequence[Item], end: int) -> None:
        """Decide on each attribute by itself: all that most elements and links need."""
        held: dict[bytes, Verdict] = {}
        judge, rel = self._judge.attribute, None
        for _, name, value, _ in items:
            kind = rules.get(name)
            if kind is None or name in held:
                continue
            if kind is elements.LINK:
                rel = first(items, b"rel") if rel is None else rel
                kind = self._judge.words.link_kind(rel)
                if kind is None:
                    break
            verdict = judge(name, value, kind)
            if verdict is not None:
                held[name] = verdict
        if not held:
            self._rename(items, frozenset())
            return
        for verdict in held.values():
            self._judge.note(*verdict[:3])
        if rel is not None and elements.only_hints(word(rel)):
            self._emit(start, b"", end)
            return
        self._emit(after_name, mark(next(iter(held.values())).gated))
        self._rename(items, held)

    def _decide(self, name: bytes, rules: dict[bytes, str], start: int, span: tuple[int, int]) -> None:
        """Decide on a tag whose attributes hang together, and disarm those that are held back."""
        items = list(read_items(self._buffer, *span))
        values = first_values(items)
        replaced: dict[int, Replacement] = {}
        if name == b"base":
            self._base(values)
        elif name == b"iframe":
            replaced = self._documents(items)
        elif name == b"meta":
            replaced = self._policies(values, items)
        if name == b"meta" and changes_encoding(values):
            self._rename(items, frozenset({b"charset", b"http-equiv"}))
            return
        held = self._judge_element(name, rules, values, items)
        if not held:
            if replaced or any(map(spoofs, values)):
                self._rename(items, frozenset(), replaced)
            return
        self._hold_frame(held, start, span[0], items, replaced)

    def _hold_frame(
        self,
        held: dict[bytes, Verdict],
        start: int,
        after_name: int,
        items: Sequence[Item],
        replaced: dict[int, Replacement] | None = None,
    ) -> None:
        """Hold back a tag that, if it is a frame, may get something put in its place."""
        for verdict in held.values():
            self._judge.note(*verdict[:3])
        first = next(iter(held.values()))
        if self._placeholder is not None and self._buffer[start + 1 : after_name].lower() == b"iframe":
            values = {attribute: value for _, attribute, value, _ in reversed(items)}
            if self._shows(values, start):
                self._emit(start, self._placeholder(first.gated, first.kind, self._judge.address(first.reference)))
        self._emit(after_name, mark(first.gated))
        self._rename(items, held, replaced)

    def _rename(
        self,
        items: Iterable[Item],
        names: Collection[bytes],
        replaced: dict[int, Replacement] | None = None,
    ) -> None:
        """Put our prefix before the named attributes, every duplicate too, and another before those that imitate it."""
        for start, name, _, _ in items:
            if name in names:
                self._emit(start, OURS)
            elif spoofs(name):
                self._emit(start, b"x-")
            replacement = replaced.get(start) if replaced else None
            if replacement is not None:
                self._emit(replacement.start, replacement.value, replacement.end)

    # What is held back of an element

    def _judge_element(
        self, name: bytes, rules: dict[bytes, str], values: dict[bytes, bytes], items: list[Item]
    ) -> dict[bytes, Verdict]:
        """What is held back: attribute → verdict."""
        if name == b"meta":
            return self._judge_meta(values)
        if name in elements.ANIMATIONS:
            held = self._judge_animation(values)
            if held:
                return held
        held = {}
        for _, attribute, value, _ in items:
            kind = rules.get(attribute)
            if kind is not None and kind not in elements.SPECIAL and attribute not in held:
                verdict = self._judge.attribute(attribute, value, kind)
                if verdict is not None:
                    held[attribute] = verdict
        return held

    def _judge_meta(self, values: dict[bytes, bytes]) -> dict[bytes, Verdict]:
        pragma = word(values.get(b"http-equiv", b""))
        if pragma == "refresh":
            reference = elements.refresh_target(self._judge.decode(values.get(b"content", b"")))
            return self._pragma("navigate", reference) if reference else {}
        return self._pragma("hint", UNREADABLE) if pragma == "link" else {}

    def _pragma(self, kind: str, reference: str) -> dict[bytes, Verdict]:
        verdict = self._judge.reference(reference, kind)
        return {} if verdict is None else {b"http-equiv": verdict}

    def _judge_animation(self, values: dict[bytes, bytes]) -> dict[bytes, Verdict]:
        """SVG animations that set an address."""
        if word(values.get(b"attributename", b"")) not in ("href", "xlink:href", "src"):
            return {}
        for name in (b"to", b"from", b"by", b"values"):
            for reference in self._judge.decode(values.get(name, b"")).split(";"):
                verdict = self._judge.reference(reference, "image") if reference.strip(" \t\n\f\r") else None
                if verdict is not None:
                    return {b"attributename": verdict}
        return {}

    def _base(self, values: dict[bytes, bytes]) -> None:
        if b"href" in values:
            certain = not (self._nested or self._sealed)
            self._judge.set_base(self._judge.decode(values[b"href"]), certain)

    def _shows(self, values: dict[bytes, bytes], start: int) -> bool:
        """Whether a frame is one that visitors see, so that its place needs something to press."""
        sides = {word(values.get(side, b"")) for side in (b"width", b"height")}
        if (
            self._sealed
            or start < self._within
            or self._nested
            or b"hidden" in values
            or sides & {"0", "1", "0px", "1px"}
        ):
            return False
        style = word(values.get(b"style", b"")).replace(" ", "")
        return "display:none" not in style and "visibility:hidden" not in style

    # What attributes carry

    def _documents(self, items: list[Item]) -> dict[int, Replacement]:
        """Rewrite the documents in ``srcdoc``."""
        replaced: dict[int, Replacement] = {}
        for item in items:
            start, name, value, _ = item
            if name != b"srcdoc" or not value:
                continue
            if self._depth >= DEEPEST_DOCUMENT:
                replaced[start] = Replacement(start, start, OURS)
                continue
            text = self._judge.decode(value).encode("utf-8", "surrogateescape")
            child = self._child(self._judge.bases)
            child._depth += 1
            child._judge.encoding = "utf-8"
            rewritten = child.feed(text) + child.close()
            if rewritten != text:
                quoted = self._quoted(rewritten.decode("utf-8", "surrogateescape"))
                replaced[start] = Replacement(*quoted_span(self._buffer, item), quoted)
        return replaced

    def _policies(self, values: dict[bytes, bytes], items: list[Item]) -> dict[int, Replacement]:
        """Open a policy that the page itself carries, as the caller says."""
        if self._policy is None or word(values.get(b"http-equiv", b"")) != "content-security-policy":
            return {}
        item = next((item for item in items if item[1] == b"content" and item[2]), None)
        if item is None:
            return {}
        before = self._judge.decode(item[2])
        after = self._policy(before)
        if after == before:
            return {}
        return {item[0]: Replacement(*quoted_span(self._buffer, item), self._quoted(after))}

    def _quoted(self, text: str) -> bytes:
        return b'"' + self._judge.encode(escape_attribute(text)) + b'"'
