"""Rewrites a page while it streams, so that nothing in its markup loads from a host that the gate holds back.

This guards the first promise. Bytes that are not part of a decision leave as they came. What is held back is disarmed
by giving its attributes other names (``src`` becomes ``data-vestibule-src``): values keep their bytes and their quotes,
so no markup can come to life by our hand, and the element can be revived in place.

Readers differ: with scripts on, ``<noscript>`` is text; in old browsers ``<select>`` drops what new ones keep; in SVG
``<style>`` is no raw text. Wherever two readings are possible the output is made so that both read the same, and what
can't be is disarmed. What is longer than `copier.LIMIT` is decided without being held in memory, closed rather than
open; of a longer inline script the gate sees the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

from vestibule.core.html import elements, glance
from vestibule.core.html.attributes import Handed, closes_itself, first, lowered, read_items, spoofs
from vestibule.core.html.copier import LIMIT
from vestibule.core.html.grammar import EVERY_TAG, HEAD, PROLOGUE, WHOLE
from vestibule.core.html.judge import Verdict
from vestibule.core.html.long_tags import LongTag
from vestibule.core.html.namespaces import Reading
from vestibule.core.html.page import Stage
from vestibule.core.html.placing import DECLARING
from vestibule.core.html.raw_text import RAW_TEXT, Treat
from vestibule.core.html.scanner import OURS, SCANNER, Where
from vestibule.core.html.scanner import Verdict as Known
from vestibule.core.html.scripts import HELD_TEXT, Scripts
from vestibule.core.html.skimmer import SCAN
from vestibule.core.html.vocabulary import word

if TYPE_CHECKING:
    from vestibule.core.html._scanner import Scanner, Tag

_PATIENCE = 16
"""Glances in a row that settled nothing, after which only every so many-th tag gets one."""
_LONGEST_LANGUAGE = 35
"""Of a tag that any registry knows (RFC 5646, section 4.4.1)."""
_FOLLOWED = frozenset(
    b"svg math select template frameset style textarea title xmp iframe noembed noframes plaintext".split()
)
"""Start tags on which the reading of later bytes depends."""
_ALWAYS = frozenset(map(str.encode, elements.ALWAYS))
_SOMETIMES = {
    name.encode(): frozenset(map(str.encode, attributes))
    for names, attributes in elements.IF_ATTRIBUTE.values()
    for name in names
}
_NOSCRIPT_DROPPED = RAW_TEXT[b"noscript"]._replace(treat=Treat.DROP)


class Rewriter(Scripts):
    """Rewrites one page. Feed it the page in pieces of any size; the pieces of the answer are the page.

    page_url: absolute URL of the page, the first base of its references.
    placeholder: supplies the markup for held frames that would be seen.
    encoding: the page's (ASCII-compatible) encoding by its Python name, for non-ASCII hosts and nested documents.
    policy: rewrites the content of ``<meta http-equiv=content-security-policy>``.
    judge: of the page that this is a part of; then ``page_url``, ``gate`` and ``encoding`` are its own.
    """

    _scanner: ClassVar[Scanner | None] = SCANNER

    # What is settled at a glance

    def _glance(self) -> None:
        self._stopped = -1
        self._within = 0
        if self._raw is not None or self._long is not None or self._frameset:
            return
        if self._position == 0 and self._resume[0]:
            # Read before, and not whole then: what was learned is used by the closer look.
            self._stopped = 0
            return
        where = self._where()
        if where is None:
            return
        if self._scanner is not None:
            self._scan(self._scanner, where)
            return
        self._fruitless += 1
        if self._fruitless > _PATIENCE and self._fruitless % _PATIENCE:
            return
        if self._skim(where):
            self._fruitless = 0

    def _where(self) -> Where | None:
        """Where the next tag stands, if anything can be settled at a glance there."""
        if self._placing and not self._templates:
            return Where.HEAD if self._stage == Stage.IN_HEAD and not self._namespaces.active else None
        if self._namespaces.active:
            return Where.DRAWING if self._namespaces.drawing and not self._in_select else None
        if self._declares:
            return None
        return Where.SELECT if self._in_select else Where.BODY

    def _scan(self, scanner: Scanner, where: Where) -> None:
        """Read on with the compiled scanner up to what needs a closer look."""
        judge, buffer, scan = self._judge, self._buffer, scanner.scan
        words = judge.words.links, judge.words.types, judge.words.hints
        decided = (judge.origins, judge.addresses) if judge.plain else ({}, {})
        known = *decided, *words, judge.learn, judge.script, judge.held, self._out
        tag: Tag | None = (0, 0, 0, 0, 0, b"", ())
        while tag is not None:
            self._position, self._copied, self._within, tag = scan(
                buffer, self._position, self._copied, where, self._within, known
            )
            if tag is not None and not self._settle(*tag):
                return
        self._stopped = self._position

    def _settle(
        self, known: int, start: int, after_name: int, end: int, on: int, name: bytes, items: Sequence[Handed]
    ) -> bool:
        """Settle a tag that the scanner hands over, whose text may follow; False where the scanner can't read on."""
        if known == Known.HELD:
            self._position = end if on < 0 else on
            self._hold(start, after_name, name, items)
            if on < 0:
                self._enter_raw(name, Reading.HTML, start)
        elif name == b"script":
            return self._script(start, after_name, end, lowered(items)) and self._raw is None
        elif name == b"iframe":
            self._position = end if on < 0 else on
            self._decide(name, elements.RULES[name], start, (after_name, end - 1))
            if on < 0:
                self._enter_raw(name, Reading.HTML, start)
        else:
            self._position = end
            self._disarm(elements.RULES[name], start, after_name, lowered(items), end)
        return self._raw is None

    def _hold(self, start: int, after_name: int, name: bytes, handed: Sequence[Handed]) -> None:
        """Hold a frame or a script back by what is known of its origins."""
        items = lowered(handed)
        held: dict[bytes, Verdict] = {}
        for (_, attribute, value, _), (*_, known) in zip(items, handed, strict=True):
            if known is not None:
                held[attribute] = Verdict(known[0].gated, known[0].kind, known[0].host, self._judge.decode(value))
        if name == b"script":
            self._hold_script(next(iter(held.values())), after_name, items)
        else:
            self._hold_frame(held, start, after_name, items)

    def _skim(self, where: Where) -> bool:
        """Do likewise without it; tell whether anything was settled."""
        if where == Where.DRAWING:
            return self._skim_drawing()
        if not self._judge.plain:
            return False
        return self._skim_head() if where == Where.HEAD else self._skim_body()

    def _skim_drawing(self) -> bool:
        match = glance.DRAWING.match(self._buffer, self._position)
        if match is None:
            return False
        self._position = match.end()
        return True

    # Finding tags

    def _next_tag(self, buffer: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
        if self._placing and not self._templates:
            pattern = PROLOGUE if self._stage == Stage.BEFORE_HEAD else HEAD
        elif self._namespaces.active or self._declares:
            pattern = EVERY_TAG
        else:
            if position == self._stopped:
                # Something begins here, so there is nothing to look for.
                return WHOLE.match(buffer, position), position
            return SCAN(buffer, position)
        match = pattern.match(buffer, position)
        if match is None or match[2] is None:
            return None, position if match is None else match.end()
        return match, match.start(2) - (2 if match[1] else 1)

    def _read_tag(self, match: re.Match[bytes], start: int) -> bool:
        closing, name, attributes = match.groups()
        name = name.lower()
        end = match.end()
        if self._placing and not self._templates:
            if name == b"html" and not closing and self._stage == Stage.BEFORE_HEAD:
                self._language = word(first(read_items(self._buffer, *match.span(3)), b"lang"))[:_LONGEST_LANGUAGE]
            self._place(bool(closing), name, start, end)
        if closing:
            self._end_tag(name, start)
            self._position = end
            return True
        if name == b"script":
            items = list(read_items(self._buffer, *match.span(3)))
            return self._script(start, match.start(3), end, items, closes_itself(self._buffer, match.end(3), end))
        if name == b"noscript":
            return self._noscript(start, attributes, end)
        self._position = end
        if self._declares and name in DECLARING and not (self._nested or self._placing):
            self._declare(name, attributes, end)
        reading = None
        if name in _FOLLOWED or self._namespaces.active:
            if name == b"svg" and self._skip_drawing(start):
                return True
            reading = self._follow(name, attributes, closes_itself(self._buffer, match.end(3), end))
        rules = elements.RULES.get(name)
        if rules is not None and attributes and (name in _ALWAYS or self._matters(name, attributes, match.start(3))):
            if name in elements.INTRICATE:
                self._decide(name, rules, start, match.span(3))
            else:
                self._disarm(rules, start, match.start(3), list(read_items(self._buffer, *match.span(3))), end)
        if reading is not None:
            self._enter_raw(name, reading, start)
        return True

    def _matters(self, name: bytes, attributes: bytes, start: int) -> bool:
        """Whether a tag that matters only with some attributes has one of them. Some matter in drawings only."""
        wanted: Collection[bytes] | None = _SOMETIMES.get(name)
        if wanted is None:
            return bool(self._namespaces.active)
        attributes = attributes.lower()
        if not any(attribute in attributes for attribute in wanted):
            return False
        return any(item[1] in wanted for item in read_items(self._buffer, start, start + len(attributes)))

    # Markup within markup

    def _noscript(self, start: int, attributes: bytes, end: int) -> bool:
        """Rewrite the content of a noscript element by itself: with scripts on it ends at the first ``</noscript``
        whatever stands around it, so it is made to end there without scripts, too."""
        self_closing = self._buffer[end - 2 : end] == b"/>"
        if self._in_noscript:
            # Its end is that of the outermost, for every reader.
            self._namespaces.start(b"noscript", b"", False)
            self._position = end
            return True
        if self._namespaces.active and self._namespaces.copy().start(b"noscript", b"", False) is Reading.FOREIGN:
            self._namespaces.start(b"noscript", attributes, self_closing)
            self._position = end
            return True
        match = RAW_TEXT[b"noscript"].end.search(self._buffer, max(end, start + self._resumed(start)[0]))
        if match is None and len(self._buffer) - end < HELD_TEXT and not self._final:
            self._position = start
            self._resume_next = (max(end, len(self._buffer) - 10) - start, 0)
            return False
        close = match.start() if match is not None else len(self._buffer)
        if close - end > LIMIT:
            self._position = end
            self._raw = _NOSCRIPT_DROPPED
            return True
        if SCAN(self._buffer[end:close], 0) == (None, close - end):
            # Nothing in it matters.
            self._position = close
            return True
        child = type(self)("", self._judge.gate, judge=self._judge)
        child._depth, child._doubts, child._started = self._depth, self._doubts, True
        child._sealed = match is not None
        child._in_noscript = True
        child._policy = self._policy
        child._namespaces = self._namespaces.copy()
        child._namespaces.start(b"noscript", b"", False)
        child._in_select, child._frameset, child._templates = self._in_select, self._frameset, self._templates
        text = self._buffer[end:close]
        rewritten = child.feed(text) + child.close()
        if rewritten != text:
            self._emit(end, rewritten, close)
        self._position = close
        self._adopt(child)
        return True

    # Tags that are too long to hold

    def _open_long(self, long: LongTag, start: int) -> None:
        if self._placing and not self._templates:
            self._place(long.closing, long.name, start, start)
        if not long.closing and long.name in elements.DISARMING:
            self._emit(self._position, elements.DISARMING[long.name])

    def _long_attribute(self, long: LongTag, start: int, end: int) -> None:
        item = None if long.closing else next(read_items(self._buffer, start, end), None)
        if item is None:
            return
        _, name, value, _ = item
        kind = elements.independent_kind(long.name, name)
        verdict = None if kind is None else self._judge.attribute(name, value, kind)
        if spoofs(name):
            self._emit(start, b"x-")
        elif verdict is not None:
            self._judge.note(*verdict[:3])
            self._emit(start, OURS)

    def _oversize_attribute(self, long: LongTag, start: int, name: bytes, head: bytes) -> None:
        """Inline data is data; any other address that can't be read whole is closed."""
        kind = None if long.closing else elements.independent_kind(long.name, name)
        if not long.closing and spoofs(name):
            self._emit(start, b"x-")
        elif kind is not None:
            data = kind in ("image", "media") and head.strip()[:5].lower() == b"data:" and name not in elements.LISTS
            gated = None if data else self._judge.unreadable(kind)
            if gated is not None:
                self._judge.note(gated, kind)
                self._emit(start, OURS)

    def _close_long(self, long: LongTag) -> None:
        if long.closing:
            self._end_tag(long.name, self._position)
            return
        reading = self._follow(long.name, b"", long.slash)
        if long.name == b"noscript":
            self._raw = _NOSCRIPT_DROPPED if reading is not Reading.FOREIGN else None
        else:
            self._enter_raw(long.name, reading, self._position)
