"""The HTML Standard's tokenization (section 13.2.5) as regular expressions on bytes.

Everything that reads pages is cut from these patterns, so that no two readers can disagree on where a tag ends. All are
possessive: they never backtrack into a token, take linear time, and match only what is complete in the buffer, which is
what makes chunk borders harmless. ``\\r`` counts as white space, since browsers read it as a newline.

Patterns that find tags have three groups: ``/`` of an end tag, the name, the attributes with all that separates them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping

WS = r"[\t\n\f\r ]"
NAME = r"[a-zA-Z][^\t\n\f\r />]*+"
NAME_END = r"(?=[\t\n\f\r />])"
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\t\n\f\r >"'][^\t\n\f\r >]*+|(?=>))"""
# An attribute with the separators before it. The common shape comes first. The last alternative, a name without a
# value, must not be followed by "=": else an unfinished quoted value would pass for a name of its own.
ATTRIBUTE_REST = rf"(?:=(?:\"[^\"]*+\"|'[^']*+')|{WS}*+={WS}*+{_VALUE}|(?!{WS}*+=))"
SEPARATORS = r"[\t\n\f\r /]*+"
ATTRIBUTE = rf"(?:{SEPARATORS}[^\t\n\f\r />][^\t\n\f\r />=]*+{ATTRIBUTE_REST})"
TAG_END = rf"{SEPARATORS}>"
# What comes before a value in quotes of either kind that holds no quote.
QUOTE = r"=(?:\"(?=[^\"']*+\")|'(?=[^\"']*+'))"
# After "<!--": "<!-->" and "<!--->" are whole comments; else "-->" or "--!>" ends it.
COMMENT = r"<!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>)"
LITERAL = r"<(?=[^a-zA-Z/!?])"
_TAG = rf"<(/?+)({NAME})({ATTRIBUTE}*+){TAG_END}"
OWN = r"(?=/[A-Za-z0-9_.\-?#~%{end}]|[A-Za-z0-9_.\-]++[/?#{end}]|[?#{end}])"
"""An address that can't but stay with the base's host; end: what may follow its last character."""


def compile_bytes(pattern: str) -> re.Pattern[bytes]:
    """A pattern in ASCII, for bytes."""
    return re.compile(pattern.encode("ascii"))


def any_case(word: str) -> str:
    """A pattern for a word in any letter case; classes are faster than a case-insensitive match."""
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in word)


def words(names: Iterable[str]) -> str:
    """A pattern for any of some names in any letter case, as a tree of prefixes."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(name[:1], []).append(name[1:])
    optional = groups.pop("", None) is not None
    branches = [any_case(first) + (words(rests) if rests != [""] else "") for first, rests in groups.items()]
    pattern = branches[0] if len(branches) == 1 and not optional else f"(?:{'|'.join(branches)})"
    return pattern + "?" if optional and branches else pattern


def _letters(letters: Iterable[str]) -> str:
    both = "".join(sorted({case for letter in letters for case in (letter.lower(), letter.upper())}))
    return f"[{both}]"


def _two_letters(names: Iterable[str]) -> str:
    """A pattern that all names match, and few others."""
    short = [name for name in names if len(name) == 1]
    long = [name for name in names if len(name) > 1]
    pairs = _letters([name[0] for name in long]) + _letters([name[1] for name in long])
    return rf"{pairs}|{_letters(short)}[\t\n\f\r />]" if short else pairs


def _without(attributes: Iterable[str]) -> str:
    """A pattern for the rest of a tag that has none of some attributes."""
    guard = rf"(?![\t\n\f\r /]*+{words(attributes)}[\t\n\f\r />=])"
    return rf"{NAME_END}(?:{guard}{ATTRIBUTE})*+{TAG_END}"


def _other_letters(names: Iterable[str]) -> str:
    """A pattern for a letter that begins none of some names."""
    first = {name[0] for name in names}
    return _letters(letter for letter in string.ascii_lowercase if letter not in first)


def _plainly_without(attributes: Iterable[str]) -> str:
    """Likewise for tags of the plainest writing, which is faster to see."""
    return rf"(?: {_other_letters(attributes)}[^\t\n\f\r />=]*+=\"[^\"]*+\")*+>"


EVERY_TAG = compile_bytes(rf"(?:[^<]++|{COMMENT}|{LITERAL})*+(?:{_TAG})?+")
"""Skips text and comments, then reads one tag of whatever name."""

NEXT_TAG = compile_bytes(rf"(?:[^<]++|{LITERAL})*+(?:{_TAG})?+")
"""Skips text only."""

PROLOGUE = compile_bytes(rf"(?:{WS}++|{COMMENT})*+(?:{_TAG})?+")
"""Skips white space and comments only, then reads one tag."""

_HTML_IN_UTF8 = r"text/html; ?charset=[uU][tT][fF]-8"
_IDLE_META = (
    r"charset=(?:\"[uU][tT][fF]-8\"|'[uU][tT][fF]-8')"
    rf"|http-equiv=(?:\"X-UA-Compatible\"|'X-UA-Compatible'){WS}++content=(?:\"[^\"]*+\"|'[^']*+')"
    rf"|http-equiv=(?:\"[cC]ontent-[tT]ype\"|'[cC]ontent-[tT]ype'){WS}++"
    rf"content=(?:\"{_HTML_IN_UTF8}\"|'{_HTML_IN_UTF8}')"
)
_HEAD = (
    rf"(?:{WS}++|{COMMENT}|<meta{WS}++(?:{_IDLE_META}){WS}*+/?>"
    rf"|<{any_case('meta')}{_without(['http-equiv', 'charset', 'data-vestibule'])}"
    rf"|</(?!{words(['head', 'body', 'html', 'br', 'template'])}{NAME_END}){NAME}{ATTRIBUTE}*+{TAG_END}"
    rf"|<{any_case('title')}{NAME_END}{ATTRIBUTE}*+{TAG_END}[^<]*+</{any_case('title')}{WS}*+>"
    rf"|<{any_case('style')}{NAME_END}{ATTRIBUTE}*+{TAG_END}[^<]*+</{any_case('style')}{WS}*+>)*+"
)
HEAD = compile_bytes(rf"{_HEAD}(?:{_TAG})?+")
"""Likewise, but skips what does nothing in a head: most metadata, titles, style sheets, end tags."""
HEAD_LOADER = compile_bytes(rf"{_HEAD}<(?=[lsn])(script|link|style|noscript){NAME_END}")
"""Likewise up to the name of what loads in most heads."""

ITEM = compile_bytes(
    r"[\t\n\f\r /]*+([^\t\n\f\r />][^\t\n\f\r />=]*+)"
    rf"(?:{WS}*+={WS}*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\t\n\f\r >\"'][^\t\n\f\r >]*+)|(?=>|\Z))|(?!{WS}*+=))"
)
"""One attribute within the attributes of a tag: name, and its value in double, in single or in no quotes."""


def named_values(attributes: bytes) -> list[tuple[bytes, bytes]]:
    """The attributes of a tag in their order, duplicates too: lower-case name, raw value."""
    return [(name.lower(), double or single or bare) for name, double, single, bare in ITEM.findall(attributes)]


WHOLE = compile_bytes(rf"<(/)?+({NAME})({ATTRIBUTE}*+){TAG_END}")
"""A tag where it begins."""

_IDLE = ("li", "p", "span")
"""Elements that pages are full of, and that nobody looks for."""


class Scan:
    """Finds the next tag that matters, in two ways that agree.

    names: start tags that always matter; closing: end tags that do.
    if_attribute: label → (elements, attributes): start tags that matter only with such an attribute.
    """

    def __init__(
        self,
        names: Iterable[str],
        closing: Iterable[str],
        if_attribute: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
    ) -> None:
        always, closing = list(names), list(closing)
        sometimes = [name for elements, _ in if_attribute.values() for name in elements]
        idle = [rf"{words(elements)}{_without(attributes)}" for elements, attributes in if_attribute.values()]
        wanted = rf"{words([*always, *sometimes])}{NAME_END}"
        rest = rf"({NAME})({ATTRIBUTE}*+){TAG_END}"
        end_tag = rf"/(?!{words(closing)}{NAME_END}){NAME}(?:>|{ATTRIBUTE}*+{TAG_END})"
        other = rf"(?!{wanted}){NAME}{ATTRIBUTE}*+{TAG_END}"
        self._exact = compile_bytes(
            rf"[^<]*+(?:(?:<(?:{end_tag}|{other}|{'|'.join(idle)})|{COMMENT}|{LITERAL})[^<]*+)*+"
            rf"(?:<(?:(/)(?={words(closing)}{NAME_END})|(?={wanted})){rest})?+"
        )
        guarded = [
            rf"{words(elements)}{NAME_END}(?!{_plainly_without(attributes)}|{_without(attributes)})"
            for elements, attributes in if_attribute.values()
        ]
        # Most tags fail by their first letters, which is much faster to see than that they are none of many names.
        self.find = compile_bytes(
            rf"<(?!/{_other_letters(closing)}|{_other_letters([*always, *sometimes])}|(?:{'|'.join(_IDLE)})[ >])"
            rf"(?:(?={_two_letters([*always, *sometimes])})({words(always)}{NAME_END}|{'|'.join(guarded)})"
            rf"|/(?:{words(closing)}{NAME_END}|[^a-zA-Z])|({COMMENT.removeprefix('<')})|[!?])"
        ).search
        """Find what may be such a tag, or a comment, from an offset on. Groups: the name of a start tag; a whole
        comment behind its "<"."""

    def __call__(self, buffer: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
        """Read on from ``position``, where no tag is open: the next tag that matters and where it starts; None and
        where something starts that is no whole tag, which may be the buffer's end.

        Looking for candidates is fast, but one might stand in an attribute's value. Mostly the bytes before it prove
        that it doesn't; where they don't, tag after tag is read.
        """
        candidate = self.find(buffer, position)
        while candidate is not None:
            start = candidate.start()
            if start != position and not outside_tags(buffer, position, start):
                break
            if candidate.lastindex != 2:
                return WHOLE.match(buffer, start), start
            position = candidate.end()
            candidate = self.find(buffer, position)
        match = self._exact.match(buffer, position)
        if match is None or match[2] is None:
            return None, position if match is None else match.end()
        return match, match.start(2) - (2 if match[1] else 1)


_OPENING = frozenset(b"= \t\n\f\r")


def outside_tags(buffer: bytes, position: int, start: int) -> bool:
    """Whether it is certain that no tag begun between the offsets is still open at ``start``, where ``position`` is
    outside of tags, too, and only tags without raw text and no comments stand between.

    Let g be the last ">" before ``start``. No value in quotes is open at g unless the last quote of its kind before g
    opened it; then "=" or white space stands before that quote. Nor did a value that contains g end after it, if there
    is no quote after g. So g ended a tag or is text; and without a "<" after it no other tag has begun.
    """
    last = buffer.rfind(b">", position, start)
    if last < 0:
        return buffer.find(b"<", position, start) < 0
    if start - last > 1:
        text = buffer[last:start]
        if b"<" in text or b'"' in text or b"'" in text:
            return False
    quote = buffer.rfind(b'"', position, last)
    if quote > 0 and buffer[quote - 1] in _OPENING:
        return False
    quote = buffer.rfind(b"'", position, last)
    return quote <= 0 or buffer[quote - 1] not in _OPENING


SVG_SHAPES = [
    name.decode()
    for name in b"path g circle rect polygon polyline line ellipse defs symbol clippath mask stop lineargradient "
    b"radialgradient text tspan".split()
]


def _drawing(reference: str) -> re.Pattern[bytes]:
    """reference: what ``use`` may refer to."""
    href = rf"{WS}++(?:{any_case('xlink')}:)?{any_case('href')}{QUOTE}{reference}[^\"']*+[\"']"
    other = (
        rf"(?![\t\n\f\r /]*+(?:{words(['href', 'xlink:href'])}[\t\n\f\r />=]|{any_case('data-vestibule')})){ATTRIBUTE}"
    )
    return compile_bytes(
        rf"<{any_case('svg')}{NAME_END}{ATTRIBUTE}*+{WS}*+(?<!/)>"
        rf"(?:[^<]++|{COMMENT}|</(?:{words(SVG_SHAPES)}|{any_case('use')}){WS}*+>"
        rf"|<{words(SVG_SHAPES)}{NAME_END}(?:{other})*+{TAG_END}"
        rf"|<{any_case('use')}{NAME_END}(?:{href}|{other})*+{TAG_END}"
        rf"|<{any_case('title')}{WS}*+>[^<]*+</{any_case('title')}{WS}*+>)*+"
        rf"</{any_case('svg')}{WS}*+>"
    )


SIMPLE_SVG = _drawing("#")
"""A whole drawing of which nothing loads, that ends where it seems to: most icons."""
OWN_SVG = _drawing(OWN.format(end="\"'"))
"""The same, where what it uses may also come from the base's own host."""
