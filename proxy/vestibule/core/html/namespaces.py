"""Whether a tag stands in HTML or in foreign content (SVG, MathML), as far as that can be known without a tree.

It matters because ``<style>``, ``<title>`` or ``<![CDATA[`` are read otherwise there, the classic way to smuggle markup
past a filter. Only a full tree builder knows in every case; this tracker follows the standard's rules for foreign
content (section 13.2.6.5) exactly and, where the outcome hangs on HTML elements it did not follow, goes on with each
possibility. Its answer is then `Reading.UNSURE` and the caller has to be safe in both readings.
"""

from __future__ import annotations

from enum import Enum

from vestibule.core.html.grammar import named_values
from vestibule.core.html.references import unescape_attribute

Frame = tuple[str, bytes]
"""What kind of element is open (``svg``, ``math``: foreign; ``html``), and its lower-case name."""
Stack = tuple[Frame, ...]
"""Open elements from the outermost foreign root on; empty: plain HTML."""


class Reading(Enum):
    """By whose rules something is read: HTML's, those of SVG and MathML, or that can't be told."""

    HTML = "html"
    FOREIGN = "foreign"
    UNSURE = "unsure"


MOST_STACKS = 8
"""More possibilities than this, and the tracker gives up: unsure to the end of the page."""
DEEPEST = 512
"""Foreign elements nested deeper than this: likewise."""

_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta "
    b"nobr ol p pre ruby s small span strong strike sub sup table tt u ul var".split()
)
_VOID = frozenset(
    b"area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr".split()
)
_HTML_INTEGRATION = frozenset(
    {("svg", b"foreignobject"), ("svg", b"desc"), ("svg", b"title"), ("math", b"annotation-xml+html")}
)
_TEXT_INTEGRATION = frozenset({("math", name) for name in (b"mi", b"mo", b"mn", b"ms", b"mtext")})
_INTEGRATION = _HTML_INTEGRATION | _TEXT_INTEGRATION
_FONT_BREAKOUT = frozenset({b"color", b"face", b"size"})
_HTML_ENCODINGS = frozenset({"text/html", "application/xhtml+xml"})


class Namespaces:
    """Follows start and end tags from the first ``<svg>`` or ``<math>`` on; cheap to ask while there is none."""

    def __init__(self, stacks: frozenset[Stack] = frozenset({()}), lost: bool = False) -> None:
        self.stacks = stacks
        self.lost = lost
        self.active = lost or stacks != _PLAIN
        """Whether the next tags matter to the tracker."""

    @property
    def drawing(self) -> bool:
        """Whether it is certain that the next tag stands in SVG."""
        if self.lost or len(self.stacks) != 1:
            return False
        (stack,) = self.stacks
        return bool(stack) and stack[-1][0] == "svg" and stack[-1] not in _INTEGRATION

    def copy(self) -> Namespaces:
        return Namespaces(self.stacks, self.lost)

    def merge(self, other: Namespaces) -> None:
        """Take the other's possibilities for possible too."""
        self.lost = self.lost or other.lost
        self._set(self.stacks | other.stacks)

    def start(self, name: bytes, attributes: bytes, self_closing: bool, maybe_ignored: bool = False) -> Reading:
        """Follow a start tag; tell by whose rules it is read. maybe_ignored: the tree builder may drop it."""
        results = [_start(stack, name, attributes, self_closing) for stack in self.stacks]
        stacks = frozenset(stack for _, stack in results)
        self._set(stacks | self.stacks if maybe_ignored else stacks)
        return self._reading({html for html, _ in results})

    def end(self, name: bytes) -> None:
        """Follow an end tag."""
        self._set(frozenset(stack for before in self.stacks for stack in _end(before, name)))

    def cdata(self) -> Reading:
        """By whose rules ``<![CDATA[`` is read here: a section in foreign content, a bogus comment in HTML."""
        return self._reading({not stack or stack[-1][0] == "html" for stack in self.stacks})

    def _reading(self, html: set[bool]) -> Reading:
        if self.lost or len(html) > 1:
            return Reading.UNSURE
        return Reading.HTML if True in html else Reading.FOREIGN

    def _set(self, stacks: frozenset[Stack]) -> None:
        if len(stacks) > MOST_STACKS or any(len(stack) > DEEPEST for stack in stacks):
            self.lost, stacks = True, _PLAIN
        self.stacks = stacks
        self.active = self.lost or stacks != _PLAIN


_PLAIN: frozenset[Stack] = frozenset({()})


def _start(stack: Stack, name: bytes, attributes: bytes, self_closing: bool) -> tuple[bool, Stack]:
    if _html_rules(stack, name):
        if name in (b"svg", b"math"):
            return True, stack if self_closing else (*stack, (name.decode(), name))
        if not stack or name in _VOID:
            return True, stack
        return True, (*stack, ("html", name))
    if name in _BREAKOUT or (name == b"font" and any(item in _FONT_BREAKOUT for item, _ in named_values(attributes))):
        return _start(_leave_foreign(stack), name, attributes, self_closing)
    if self_closing:
        return False, stack
    kind = stack[-1][0]
    if (kind, name) == ("math", b"annotation-xml") and _encodes_html(attributes):
        name = b"annotation-xml+html"
    return False, (*stack, (kind, name))


def _encodes_html(attributes: bytes) -> bool:
    for name, value in named_values(attributes):
        if name == b"encoding":
            return unescape_attribute(value.decode("latin-1")).lower() in _HTML_ENCODINGS
    return False


def _html_rules(stack: Stack, name: bytes) -> bool:
    if not stack or stack[-1][0] == "html":
        return True
    top = stack[-1]
    if top in _HTML_INTEGRATION:
        return True
    if top in _TEXT_INTEGRATION:
        return name not in (b"mglyph", b"malignmark")
    return top == ("math", b"annotation-xml") and name == b"svg"


def _leave_foreign(stack: Stack) -> Stack:
    while stack and stack[-1][0] != "html" and stack[-1] not in _INTEGRATION:
        stack = stack[:-1]
    return stack


def _plain_name(frame: Frame) -> bytes:
    return b"annotation-xml" if frame[1] == b"annotation-xml+html" else frame[1]


def _end(stack: Stack, name: bytes) -> tuple[Stack, ...]:
    if not stack:
        return (stack,)
    if stack[-1] == ("html", name):
        return (stack[:-1],)
    if stack[-1][0] != "html":
        if name in (b"p", b"br"):
            # Readers from before 2020 leave it open unless a paragraph around it is meant.
            return (stack, _leave_foreign(stack))
        index = len(stack) - 1
        while index >= 0 and stack[index][0] != "html":
            if _plain_name(stack[index]) == name:
                return (stack[:index],)
            index -= 1
        if index < 0:
            # An HTML element around the foreign root may be meant: then everything in it is closed.
            return (stack, ())
    # Misnested HTML within an integration point: it closes something, or it is ignored.
    outcomes: list[Stack] = [stack]
    for index in range(len(stack) - 1, -1, -1):
        if _plain_name(stack[index]) == name:
            outcomes.append(stack[:index])
            break
    return tuple(outcomes)
