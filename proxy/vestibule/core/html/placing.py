"""Where our own markup goes: follows a page up to its body, and fills the places it has for the declaration."""

from __future__ import annotations

import re

from vestibule.core.html import elements
from vestibule.core.html.inject import Worded
from vestibule.core.html.page import Stage
from vestibule.core.html.parting import Parting

DECLARING = frozenset({b"vestibule-declaration", b"div", b"section"})
_DECLARES = re.compile(rb"vestibule(?:-|=[\"']?)declaration")
_LONGEST_MARK = 32


class Placing(Parting):
    """Puts in what `Inject` holds."""

    def feed(self, data: bytes) -> bytes:
        if self._inject.declaration is not None and not self._declares:
            # Only pages that have a place for it pay for looking at each of their tags. A mark that a border of pieces
            # parts stands in a tag that is not over, and so not passed yet.
            self._declares = _declares(data) or (bool(self._tail) and _declares(self._tail + data[:_LONGEST_MARK]))
            self._tail = (self._tail + data[-_LONGEST_MARK:])[-_LONGEST_MARK:]
        return super().feed(data)

    def _place(self, closing: bool, name: bytes, start: int, end: int) -> None:
        """Follow the tree up to the body, and put in what belongs before this tag or right after it."""
        if self._stage == Stage.BEFORE_HEAD:
            if (name == b"html" and not closing) or (closing and name not in (b"head", b"body", b"html", b"br")):
                return
            self._stage = Stage.IN_HEAD
            if name == b"head" and not closing:
                self._emit(end, self._inject.head)
                return
            self._emit(start, self._inject.head)
        if closing:
            if name == b"head" and self._stage == Stage.IN_HEAD:
                self._stage = Stage.AFTER_HEAD
            elif name in (b"body", b"html", b"br"):
                self._put_body(start)
        elif name == b"body":
            self._put_body(end)
        elif name == b"frameset":
            self._placing = False
        elif name not in elements.IN_HEAD or (name == b"noscript" and self._stage == Stage.AFTER_HEAD):
            self._put_body(start)

    def _read_text(self, position: int) -> None:
        """Text begins the body where no tag did."""
        if self._stage == Stage.BEFORE_HEAD:
            self._emit(position, self._inject.head)
        self._put_body(position)

    def _put_body(self, position: int) -> None:
        self._placing = False
        self._emit(position, self._worded(self._inject.body))

    def _end_tag(self, name: bytes, start: int) -> None:
        if name == b"body" and self._foot_due and not self._nested:
            self._emit(start, self._worded(self._inject.foot))
            self._foot_due = False
        super()._end_tag(name, start)

    def _last(self) -> bytes:
        if self._raw is not None or self._long is not None:
            return b""
        parts: list[bytes] = []
        if self._placing and not self._templates:
            if self._stage == Stage.BEFORE_HEAD:
                parts.append(self._inject.head)
            parts.append(self._worded(self._inject.body))
            self._placing = False
        if self._foot_due:
            parts.append(self._worded(self._inject.foot))
            self._foot_due = False
        return b"".join(parts)

    def _declare(self, name: bytes, attributes: bytes, end: int) -> None:
        """Fill a place for the declaration."""
        declaration = self._inject.declaration
        if declaration is not None and (name == b"vestibule-declaration" or _DECLARES.search(attributes)):
            self._emit(end, declaration(self._language))

    def _worded(self, markup: bytes | Worded) -> bytes:
        return markup if isinstance(markup, bytes) else markup(self._language)


def _declares(data: bytes) -> bool:
    """Whether some of a page may have a place for the declaration."""
    return b"vestibule" in data and _DECLARES.search(data) is not None
