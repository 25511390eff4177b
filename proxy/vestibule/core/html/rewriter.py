"""Rewrites a page while it streams, so that nothing in its markup loads from a host that the gate holds back.

This guards the first promise. Bytes that are not part of a decision leave as they came. What is held back is disarmed
by giving its attributes other names (``src`` becomes ``data-vestibule-src``): values keep their bytes and their quotes,
so no markup can come to life by our hand, and the element can be revived in place.

Readers differ: with scripts on, ``<noscript>`` is text; in old browsers ``<select>`` drops what new ones keep; in SVG
``<style>`` is no raw text. Wherever two readings are possible the output is made so that both read the same, and what
can't be is disarmed. What is longer than `tokenizer.LIMIT` is decided without being held in memory, closed rather than
open; of a longer inline script the gate sees the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from vestibule.core import urls
from vestibule.core.html import elements, glance
from vestibule.core.html.grammar import EVERY_TAG, HEAD, ITEM, PROLOGUE, SIMPLE_SVG, WHOLE
from vestibule.core.html.judge import BY_URL, UNREADABLE, Gate, Gated, Held, Judge, OriginGate, Verdict, mark
from vestibule.core.html.namespaces import Namespaces, Reading
from vestibule.core.html.references import escape_attribute
from vestibule.core.html.scanner import INERT, OURS, SCANNER, Where
from vestibule.core.html.scanner import Verdict as Known
from vestibule.core.html.skimmer import SCAN, Skimmer, word
from vestibule.core.html.tokenizer import (
    BOGUS_COMMENT,
    CDATA,
    CDATA_ESCAPED,
    LIMIT,
    PLAINTEXT,
    RAW_TEXT,
    RAW_TEXT_ESCAPED,
    LongTag,
    Raw,
    Treat,
    script_end,
)

if TYPE_CHECKING:
    from vestibule.core.html._scanner import Scanner, Tag

__all__ = ["BY_URL", "LIMIT", "UNREADABLE", "Gate", "Gated", "Held", "Inject", "OriginGate", "Placeholder", "Rewriter"]

MOST_DOUBTS = 2
"""Doubts about the reading within doubts; beyond, the rest of the page is dropped."""
DEEPEST_DOCUMENT = 3
"""Documents within documents (``srcdoc``, ``data:``) nested deeper are held back whole."""


Worded = Callable[[str], bytes]
"""Makes markup from the page's language: ``lang`` of its ``<html>``, in lower case; '' where it tells none."""


@dataclass(frozen=True, slots=True)
class Inject:
    """Markup to put in. head: right after <head> opens; body: first thing in <body>; foot: before </body>, or last.
    declaration: at the beginning of each ``<vestibule-declaration>``, and each ``<div>`` or ``<section>`` with
    ``data-vestibule-declaration`` or ``data-vestibule="declaration"`` (in lower case); None leaves them as they are."""

    head: bytes = b""
    body: bytes | Worded = b""
    foot: bytes | Worded = b""
    declaration: Worded | None = None


Placeholder = Callable[[Gated, str, str], bytes]
"""Markup for the place of a held frame, from what holds it, the kind and the absolute URL; put before the frame."""


class Stage(Enum):
    """Where the page is as long as its body hasn't begun."""

    BEFORE_HEAD = "before head"
    IN_HEAD = "in head"
    AFTER_HEAD = "after head"


Item = tuple[int, bytes, bytes, int]
"""One attribute of a tag: where its name starts in the buffer, its lower-case name, its raw value and its start."""
Handed = tuple[int, bytes, bytes, int, Any]
"""The same, as the compiled scanner hands it over: in the case it has, with what `Judge.origins` knows of it."""


class _Replacement(NamedTuple):
    """What to put in place of a part of an attribute."""

    start: int
    end: int
    value: bytes


_PATIENCE = 16
"""Glances in a row that settled nothing, after which only every so many-th tag gets one."""
_NO_INJECTION = Inject()
_SPOOF = b"data-vestibule"
_DECLARATION = b"data-vestibule-declaration"
_DECLARING = frozenset({b"vestibule-declaration", b"div", b"section"})
_DECLARES = re.compile(rb"vestibule(?:-|=[\"']?)declaration")
_LONGEST_MARK = 32
_LONGEST_LANGUAGE = 35
"""Of a tag that any registry knows (RFC 5646, section 4.4.1)."""
_FOLLOWED = frozenset(
    b"svg math select template frameset style textarea title xmp iframe noembed noframes plaintext".split()
)
"""Start tags on which the reading of later bytes depends."""
_IGNORED_IN_SELECT = frozenset(b"svg math style textarea title xmp iframe noembed noframes plaintext frameset".split())
_ALWAYS = frozenset(map(str.encode, elements.ALWAYS))
_SOMETIMES = {
    name.encode(): frozenset(map(str.encode, attributes))
    for names, attributes in elements.IF_ATTRIBUTE.values()
    for name in names
}
_SCRIPT_ATTRIBUTES = frozenset(elements.RULES[b"script"]) | {b"type"}
_NOSCRIPT_DROPPED = RAW_TEXT[b"noscript"]._replace(treat=Treat.DROP)
_PLAINTEXT_ESCAPED = PLAINTEXT._replace(treat=Treat.ESCAPE)
_PARTED = Raw(b"parted", PLAINTEXT.end, 0, Treat.DROP)
# A terminator that has begun at the limit is seen whole by then.
_HELD_TEXT = LIMIT + 16


class Rewriter(Skimmer):
    """Rewrites one page. Feed it the page in pieces of any size; the pieces of the answer are the page.

    page_url: absolute URL of the page, the first base of its references.
    placeholder: supplies the markup for held frames that would be seen.
    encoding: the page's (ASCII-compatible) encoding by its Python name, for non-ASCII hosts and nested documents.
    policy: rewrites the content of ``<meta http-equiv=content-security-policy>``.
    judge: of the page that this is a part of; then ``page_url``, ``gate`` and ``encoding`` are its own.
    """

    _scanner: ClassVar[Scanner | None] = SCANNER

    def __init__(
        self,
        page_url: str,
        gate: Gate,
        inject: Inject = _NO_INJECTION,
        *,
        placeholder: Placeholder | None = None,
        encoding: str = "utf-8",
        policy: Callable[[str], str] | None = None,
        judge: Judge | None = None,
    ) -> None:
        super().__init__()
        self.injected = False
        self._judge = judge or Judge(urls.parse(page_url), gate, encoding, self._look_into)
        self._inject = inject
        self._placeholder = placeholder
        self._policy = policy
        self._depth = 0
        self._stage = Stage.BEFORE_HEAD
        self._placing = inject != _NO_INJECTION
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
        self._readers: tuple[Rewriter, ...] = ()
        self._language = ""
        self._declares = False
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        if self._inject.declaration is not None and not self._declares:
            # Only pages that have a place for it pay for looking at each of their tags. A mark that a border of pieces
            # parts stands in a tag that is not over, and so not passed yet.
            self._declares = _declares(data) or (bool(self._tail) and _declares(self._tail + data[:_LONGEST_MARK]))
            self._tail = (self._tail + data[-_LONGEST_MARK:])[-_LONGEST_MARK:]
        return super().feed(data)

    @property
    def gated(self) -> list[Held]:
        """What was held back, in the page's order, duplicates too; at most `judge.MOST_HELD` entries."""
        return self._judge.held

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
        decided = (judge.origins, judge.addresses) if judge.plain else ({}, {})
        known = *decided, judge.links, judge.types, judge.hints, judge.learn, judge.script, judge.held, self._out
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
            return self._script(start, after_name, end, _lowered(items)) and self._raw is None
        elif name == b"iframe":
            self._position = end if on < 0 else on
            self._decide(name, elements.RULES[name], start, (after_name, end - 1))
            if on < 0:
                self._enter_raw(name, Reading.HTML, start)
        else:
            self._position = end
            self._disarm(elements.RULES[name], start, after_name, _lowered(items), end)
        return self._raw is None

    def _hold(self, start: int, after_name: int, name: bytes, handed: Sequence[Handed]) -> None:
        """Hold a frame or a script back by what is known of its origins."""
        items = _lowered(handed)
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
                self._language = word(_first(self._items(*match.span(3)), b"lang"))[:_LONGEST_LANGUAGE]
            self._place(bool(closing), name, start, end)
        if closing:
            self._end_tag(name, start)
            self._position = end
            return True
        if name == b"script":
            items = list(self._items(*match.span(3)))
            return self._script(start, match.start(3), end, items, _closes_itself(self._buffer, match.end(3), end))
        if name == b"noscript":
            return self._noscript(start, attributes, end)
        self._position = end
        if self._declares and name in _DECLARING and not (self._nested or self._placing):
            self._declare(name, attributes, end)
        reading = None
        if name in _FOLLOWED or self._namespaces.active:
            if name == b"svg" and self._skip_drawing(start):
                return True
            reading = self._follow(name, attributes, _closes_itself(self._buffer, match.end(3), end))
        rules = elements.RULES.get(name)
        if rules is not None and attributes and (name in _ALWAYS or self._matters(name, attributes, match.start(3))):
            if name in elements.INTRICATE:
                self._decide(name, rules, start, match.span(3))
            else:
                self._disarm(rules, start, match.start(3), list(self._items(*match.span(3))), end)
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
        return any(item[1] in wanted for item in self._items(start, start + len(attributes)))

    def _declare(self, name: bytes, attributes: bytes, end: int) -> None:
        """Fill a place for the declaration."""
        declaration = self._inject.declaration
        if declaration is not None and (name == b"vestibule-declaration" or _DECLARES.search(attributes)):
            self._emit(end, declaration(self._language))

    def _worded(self, markup: bytes | Worded) -> bytes:
        return markup if isinstance(markup, bytes) else markup(self._language)

    def _skip_drawing(self, start: int) -> bool:
        if self._namespaces.active or self._in_select or self._frameset:
            return False
        drawing = SIMPLE_SVG.match(self._buffer, start)
        if drawing is None:
            return False
        self._position = drawing.end()
        return True

    def _end_tag(self, name: bytes, start: int) -> None:
        if name == b"body":
            if self._foot_due and not self._nested:
                self._emit(start, self._worded(self._inject.foot))
                self._foot_due = False
        elif name == b"template":
            self._templates = max(0, self._templates - 1)
        elif name == b"select" and not self._select_templates:
            self._in_select = False
        if self._namespaces.active:
            self._namespaces.end(name)

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

    def _enter_raw(self, name: bytes, reading: Reading, start: int) -> None:
        """Begin to read the text of elements that hold no markup."""
        if name == b"plaintext":
            if reading is not Reading.FOREIGN and self._sealed:
                self._emit(start, b"", self._position)
            elif reading is not Reading.FOREIGN:
                self._raw = PLAINTEXT if reading is Reading.HTML else _PLAINTEXT_ESCAPED
        elif name in RAW_TEXT and reading is not Reading.FOREIGN:
            self._script_state = 0
            self._raw = RAW_TEXT[name]
            if reading is Reading.UNSURE:
                self._doubt(RAW_TEXT_ESCAPED[name], self._reader(self._raw), self._reader(None))

    def _cdata(self) -> Reading:
        return self._namespaces.cdata()

    # Where readings part

    def _begin_section(self, raw: Raw, start: int) -> None:
        super()._begin_section(raw, start)
        if raw is CDATA_ESCAPED:
            html = self._reader(BOGUS_COMMENT)
            html._namespaces = Namespaces()
            self._doubt(raw, html, self._reader(CDATA))

    def _reader(self, raw: Raw | None) -> Rewriter:
        """One of the possible readers of what follows, by itself; it finds out how far it and others part."""
        reader = self._child(self._judge.bases)
        reader._judge.held = []
        reader._namespaces = self._namespaces.copy()
        reader._in_select, reader._frameset, reader._templates = self._in_select, self._frameset, self._templates
        reader._in_noscript = self._in_noscript
        reader._raw = raw
        reader._doubts = self._doubts + 1
        return reader

    def _doubt(self, raw: Raw, *readers: Rewriter) -> None:
        """Begin to read text that not every reader takes for text."""
        self._raw = raw
        self._readers = readers if self._doubts < MOST_DOUBTS else ()

    def _read_raw(self, raw: Raw) -> bool:
        if raw is _PARTED:
            return self._read_parted()
        start = self._position
        more = super()._read_raw(raw)
        if self._readers or (raw.treat is Treat.ESCAPE and raw.name != PLAINTEXT.name):
            text = self._buffer[start : self._position]
            for reader in self._readers:
                reader.feed(text)
            if self._raw is None:
                if raw is not CDATA_ESCAPED:
                    self._emit(self._position, b"</" + raw.name + b">")
                    self._namespaces.end(raw.name)
                self._raw = _PARTED
                if raw is CDATA_ESCAPED and self._agreed:
                    self._raw, self._readers = None, ()
        return more

    def _read_parted(self) -> bool:
        """Drop what follows up to where all readers are outside of tags, comments and raw text: what some of them take
        for text must not come to life. They can only meet behind a ">"."""
        while True:
            end = self._buffer.find(b">", self._position) + 1
            piece = self._buffer[self._position : end or len(self._buffer)]
            for reader in self._readers:
                reader.feed(piece)
            self._position += len(piece)
            self._emit(self._position - len(piece), b"", self._position)
            if not end:
                return False
            if self._agreed:
                self._raw, self._readers = None, ()
                return True

    @property
    def _agreed(self) -> bool:
        # Without readers there were too many doubts: then nothing is agreed on any more.
        return bool(self._readers) and all(reader._at_rest for reader in self._readers)

    @property
    def _at_rest(self) -> bool:
        """Whether everything was read, and no tag, comment or raw text is open."""
        return self._raw is None and self._long is None and not self._buffer and not self._waiting

    # Where our own markup goes

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
        self.injected = True

    def _last(self) -> bytes:
        if self._raw is not None or self._long is not None:
            return b""
        parts: list[bytes] = []
        if self._placing and not self._templates:
            if self._stage == Stage.BEFORE_HEAD:
                parts.append(self._inject.head)
            parts.append(self._worded(self._inject.body))
            self._placing, self.injected = False, True
        if self._foot_due:
            parts.append(self._worded(self._inject.foot))
            self._foot_due = False
        return b"".join(parts)

    # Scripts

    def _script(self, start: int, after_name: int, end: int, items: Sequence[Item], self_closing: bool = False) -> bool:
        values: dict[bytes, bytes] = {}
        for _, name, value, _ in items:
            values.setdefault(name, value)
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
        elif any(map(_spoofs, values)):
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
        if found < 0 and len(buffer) - end < _HELD_TEXT and not self._final:
            self._resume_next = (position - start, state)
            return None, -1
        return buffer[end : min(found if found >= 0 else len(buffer), end + LIMIT)], found

    def _judge_inline(self, values: dict[bytes, bytes], text: bytes) -> Verdict | None:
        kind = self._judge.script_type(values[b"type"]) if b"type" in values else elements.script_type(values)
        if kind == "speculationrules":
            return self._judge.speculation(text)
        gated = self._judge.inline(text) if kind == "script" else None
        return None if gated is None else Verdict(gated, "inline", "", "")

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
        if match is None and len(self._buffer) - end < _HELD_TEXT and not self._final:
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
        child = Rewriter("", self._judge.gate, judge=self._judge)
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

    def _adopt(self, child: Rewriter) -> None:
        """Without scripts, elements that a noscript left open stay open; with scripts there are none: either may be."""
        child._namespaces.end(b"noscript")
        self._namespaces.merge(child._namespaces)
        self._in_select = self._in_select or child._in_select
        self._frameset = self._frameset or child._frameset

    def _child(self, bases: tuple[urls.Url | None, ...]) -> Rewriter:
        """A rewriter for markup within this page, whose findings count as the page's."""
        child = Rewriter("about:blank", self._judge.gate, encoding=self._judge.encoding)
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

    def _documents(self, items: list[Item]) -> dict[int, _Replacement]:
        """Rewrite the documents in ``srcdoc``."""
        replaced: dict[int, _Replacement] = {}
        for item in items:
            start, name, value, _ = item
            if name != b"srcdoc" or not value:
                continue
            if self._depth >= DEEPEST_DOCUMENT:
                replaced[start] = _Replacement(start, start, OURS)
                continue
            text = self._judge.decode(value).encode("utf-8", "surrogateescape")
            child = self._child(self._judge.bases)
            child._depth += 1
            child._judge.encoding = "utf-8"
            rewritten = child.feed(text) + child.close()
            if rewritten != text:
                quoted = self._quoted(rewritten.decode("utf-8", "surrogateescape"))
                replaced[start] = _Replacement(*_quoted_span(self._buffer, item), quoted)
        return replaced

    def _policies(self, values: dict[bytes, bytes], items: list[Item]) -> dict[int, _Replacement]:
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
        return {item[0]: _Replacement(*_quoted_span(self._buffer, item), self._quoted(after))}

    def _quoted(self, text: str) -> bytes:
        return b'"' + self._judge.encode(escape_attribute(text)) + b'"'

    # Other elements

    def _disarm(self, rules: dict[bytes, str], start: int, after_name: int, items: Sequence[Item], end: int) -> None:
        """Decide on each attribute by itself: all that most elements and links need."""
        held: dict[bytes, Verdict] = {}
        judge, rel = self._judge.attribute, None
        for _, name, value, _ in items:
            kind = rules.get(name)
            if kind is None or name in held:
                continue
            if kind is elements.LINK:
                rel = _first(items, b"rel") if rel is None else rel
                kind = self._judge.link_kind(rel)
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
        items = list(self._items(*span))
        values: dict[bytes, bytes] = {}
        for _, attribute, value, _ in items:
            values.setdefault(attribute, value)
        replaced: dict[int, _Replacement] = {}
        if name == b"base":
            self._base(values)
        elif name == b"iframe":
            replaced = self._documents(items)
        elif name == b"meta":
            replaced = self._policies(values, items)
        if name == b"meta" and _changes_encoding(values):
            self._rename(items, frozenset({b"charset", b"http-equiv"}))
            return
        held = self._judge_element(name, rules, values, items)
        if not held:
            if replaced or any(map(_spoofs, values)):
                self._rename(items, frozenset(), replaced)
            return
        self._hold_frame(held, start, span[0], items, replaced)

    def _hold_frame(
        self,
        held: dict[bytes, Verdict],
        start: int,
        after_name: int,
        items: Sequence[Item],
        replaced: dict[int, _Replacement] | None = None,
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

    # Attributes

    def _items(self, start: int, end: int) -> Iterator[Item]:
        buffer = self._buffer
        for match in ITEM.finditer(buffer, start, end):
            group = match.lastindex or 1
            value, value_start = (match[group], match.start(group)) if group > 1 else (b"", -1)
            yield match.start(1), match[1].lower(), value, value_start

    def _rename(
        self,
        items: Iterable[Item],
        names: Collection[bytes],
        replaced: dict[int, _Replacement] | None = None,
    ) -> None:
        """Put our prefix before the named attributes, every duplicate too, and another before those that imitate it."""
        for start, name, _, _ in items:
            if name in names:
                self._emit(start, OURS)
            elif _spoofs(name):
                self._emit(start, b"x-")
            replacement = replaced.get(start) if replaced else None
            if replacement is not None:
                self._emit(replacement.start, replacement.value, replacement.end)

    # Tags that are too long to hold

    def _open_long(self, long: LongTag, start: int) -> None:
        if self._placing and not self._templates:
            self._place(long.closing, long.name, start, start)
        if not long.closing and long.name in elements.DISARMING:
            self._emit(self._position, elements.DISARMING[long.name])

    def _long_attribute(self, long: LongTag, start: int, end: int) -> None:
        item = None if long.closing else next(self._items(start, end), None)
        if item is None:
            return
        _, name, value, _ = item
        kind = elements.independent_kind(long.name, name)
        verdict = None if kind is None else self._judge.attribute(name, value, kind)
        if _spoofs(name):
            self._emit(start, b"x-")
        elif verdict is not None:
            self._judge.note(*verdict[:3])
            self._emit(start, OURS)

    def _oversize_attribute(self, long: LongTag, start: int, name: bytes, head: bytes) -> None:
        """Inline data is data; any other address that can't be read whole is closed."""
        kind = None if long.closing else elements.independent_kind(long.name, name)
        if not long.closing and _spoofs(name):
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


def _first(items: Iterable[Item], name: bytes) -> bytes:
    """The raw value of the first attribute of some name; empty where there is none."""
    return next((value for _, found, value, _ in items if found == name), b"")


def _lowered(items: Iterable[Handed]) -> list[Item]:
    return [(start, name.lower(), value, value_start) for start, name, value, value_start, _ in items]


def _declares(data: bytes) -> bool:
    """Whether some of a page may have a place for the declaration."""
    return b"vestibule" in data and _DECLARES.search(data) is not None


def _spoofs(name: bytes) -> bool:
    """Whether an attribute of the page imitates ours."""
    return name.startswith(_SPOOF) and name != _DECLARATION


def _closes_itself(buffer: bytes, attributes_end: int, end: int) -> bool:
    """Whether a tag ends in "/>" with a slash that is no part of a value."""
    return buffer[end - 2 : end] == b"/>" and attributes_end < end - 1


def _quoted_span(buffer: bytes, item: Item) -> tuple[int, int]:
    """Where an attribute's value stands, its quotes included."""
    _, _, value, start = item
    end = start + len(value)
    return (start - 1, end + 1) if buffer[start - 1 : start] in (b'"', b"'") else (start, end)


def _changes_encoding(values: dict[bytes, bytes]) -> bool:
    """Whether a pragma declares ISO-2022-JP: read like that, the page would be another. What counts as such is
    transcoded beforehand (see `encoding`), so here it must have no effect."""
    declared = values.get(b"charset", b"")
    if word(values.get(b"http-equiv", b"")) == "content-type":
        declared += values.get(b"content", b"")
    return "2022" in word(declared)
