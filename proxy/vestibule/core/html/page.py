"""A page while it is read, or a part of one that is read by itself: where in the tree of elements it is.

The tree is followed as far as the reading of later bytes depends on it. Parts are the content of ``<noscript>``,
documents in attributes, and what another reader takes for markup; they share the page's judge, or its findings.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Self
from weakref import ref

from vestibule.core import urls
from vestibule.core.html.gate import Gate, Gated, Held
from vestibule.core.html.grammar import SIMPLE_SVG
from vestibule.core.html.inject import NO_INJECTION, Inject, Placeholder
from vestibule.core.html.judge import Judge
from vestibule.core.html.namespaces import Namespaces, Reading
from vestibule.core.html.skimmer import Skimmer

DEEPEST_DOCUMENT = 3
"""Documents within documents (``srcdoc``, ``data:``) nested deeper are held back whole."""
_IGNORED_IN_SELECT = frozenset(b"svg math style textarea title xmp iframe noembed noframes plaintext frameset".split())


class Stage(Enum):
    """Where the page is as long as its body hasn't begun."""

    BEFORE_HEAD = "before head"
    IN_HEAD = "in head"
    AFTER_HEAD = "after head"


class PageReader(Skimmer):
    """Knows where in the tree it reads; see `rewriter.Rewriter` for the arguments."""

    def __init__(
        self,
        page_url: str,
        gate: Gate,
        inject: Inject = NO_INJECTION,
        *,
        placeholder: Placeholder | None = None,
        encoding: str = "utf-8",
        policy: Callable[[str], str] | None = None,
        judge: Judge | None = None,
    ) -> None:
        super().__init__()
        self._judge = judge or Judge(urls.parse(page_url), gate, encoding, _looking_into(self))
        self._inject = inject
        self._placeholder = placeholder
        self._policy = policy
        self._depth = 0
        self._stage = Stage.BEFORE_HEAD
        self._placing = inject != NO_INJECTION
        self._foot_due = bool(inject.foot)
        self._namespaces = Namespaces()
        self._templates = 0
        self._in_select = False
        self._select_templates = False
        self._frameset = False
        self._in_noscript = False
        self._doubts = 0
        self._fruitless = 0
        self._stopped = -1
        self._within = 0
        self._readers: tuple[Self, ...] = ()
        self._language = ""
        self._declares = False
        self._tail = b""

    @property
    def gated(self) -> list[Held]:
        """What was held back, in the page's order, duplicates too; at most `judge.MOST_HELD` entries."""
        return self._judge.held

    # The tree

    @property
    def _nested(self) -> bool:
        """Whether markup put in here might not be read as part of the body."""
        return bool(self._namespaces.active or self._templates or self._in_select or self._frameset)

    def _follow(self, name: bytes, attributes: bytes, self_closing: bool) -> Reading:
        """Follow a start tag in the tree as far as raw text depends on it; tell by whose rules it is read."""
        ignorable = (self._in_select and name in _IGNORED_IN_SELECT) or (self._frameset and name != b"noframes")
        if self._namespaces.active or name in (b"svg", b"math"):
            reading = self._namespaces.start(name, attributes, self_closing, maybe_ignored=ignorable)
        else:
            reading = Reading.HTML
        if reading is not Reading.FOREIGN:
            if name == b"template":
                self._templates += 1
                self._select_templates = self._select_templates or self._in_select
            elif name == b"select":
                self._in_select = True
            elif name == b"frameset":
                self._frameset = True
        return Reading.UNSURE if ignorable and reading is Reading.HTML else reading

    def _end_tag(self, name: bytes, start: int) -> None:  # noqa: ARG002 – for subclasses
        """Follow an end tag that begins at ``start``."""
        if name == b"template":
            self._templates = max(0, self._templates - 1)
        elif name == b"select" and not self._select_templates:
            self._in_select = False
        if self._namespaces.active:
            self._namespaces.end(name)

    def _skip_drawing(self, start: int) -> bool:
        if self._namespaces.active or self._in_select or self._frameset:
            return False
        drawing = SIMPLE_SVG.match(self._buffer, start)
        if drawing is None:
            return False
        self._position = drawing.end()
        return True

    def _cdata(self) -> Reading:
        return self._namespaces.cdata()

    # Parts of the page

    def _child(self, bases: tuple[urls.Url | None, ...]) -> Self:
        """A reader for markup within this page, whose findings count as the page's."""
        child = type(self)("about:blank", self._judge.gate, encoding=self._judge.encoding)
        child._judge.page = self._judge.page
        child._judge.held = self._judge.held
        child._judge.start_with(bases)
        child._depth = self._depth
        child._started = True
        return child

    def _look_into(self, content: bytes) -> Gated | None:
        """What would be held back in a document that stands by itself."""
        if self._depth >= DEEPEST_DOCUMENT:
            return self._judge.unreadable("frame")
        child = self._child((None,))
        child._judge.held = []
        child._judge.page = None
        child._depth = self._depth + 1
        child.feed(content)
        child.close()
        return child.gated[0].gated if child.gated else None

    def _adopt(self, child: Self) -> None:
        """Without scripts, elements that a noscript left open stay open; with scripts there are none: either may be."""
        child._namespaces.end(b"noscript")
        self._namespaces.merge(child._namespaces)
        self._in_select = self._in_select or child._in_select
        self._frameset = self._frameset or child._frameset


def _looking_into(reader: PageReader) -> Callable[[bytes], Gated | None]:
    """``_look_into`` for its judge, which must not hold the reader that holds it: both would stay, with all they know,
    until the collector comes."""
    known = ref(reader)

    def look_into(content: bytes) -> Gated | None:
        found = known()
        assert found is not None, "a page's judge was asked when the page was over"
        return found._look_into(content)

    return look_into
