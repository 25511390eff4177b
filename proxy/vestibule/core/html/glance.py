"""Patterns that settle at a glance what most tags of most pages are, so that they cost no closer look.

Each reads one whole tag of the plainest writing (names in lower case, values in quotes, addresses that begin with a
host or can't but stay with their own) and captures what has to be judged. What is written in any other way doesn't
match and is read by the grammar; so these decide nothing by themselves, they only find fast.

Of an address the origin as it is written is captured, ``b""`` where it can't but stay with the base's, nothing where it
holds its own data.
"""

from __future__ import annotations

from collections.abc import Iterable

from vestibule.core.html.grammar import (
    ATTRIBUTE,
    ATTRIBUTE_REST,
    NAME_END,
    OWN,
    QUOTE,
    SEPARATORS,
    SVG_SHAPES,
    TAG_END,
    WS,
    any_case,
    compile_bytes,
    words,
)

ORIGIN = r"(?:https?:)?//[a-z0-9.\-]++"
_OURS = any_case("data-vestibule")


def _others(names: Iterable[str]) -> str:
    """A pattern for any attributes that have none of some names, nor imitate ours."""
    first = "".join(sorted({case for name in [*names, "d"] for case in (name[0], name[0].upper())}))
    guard = rf"(?!{words(names)}[\t\n\f\r />=]|{_OURS})"
    return rf"(?:{SEPARATORS}(?:[^\t\n\f\r />{first}]|{guard}[{first}])[^\t\n\f\r />=]*+{ATTRIBUTE_REST})*+"


def _address(names: Iterable[str], data: bool = False) -> str:
    own = OWN.format(end=r"\"'")
    inline = "|data:" if data else ""
    return rf"{SEPARATORS}({'|'.join(names)}){QUOTE}(?:({ORIGIN}(?=[/?#\"'])|{own}){inline})[^\"']*+[\"']"


def _addresses(names: Iterable[str], group: str) -> str:
    """The like of ``srcset``: each candidate has the same origin."""
    own = OWN.format(end=r"\t\n\f\r \"'")
    rest = r"[^\"'\t\n\f\r &]*+(?:&amp;[^\"'\t\n\f\r &]*+)*+"
    rest += rf"(?:(?<=,)|(?:{WS}++[0-9.]++[wxh])?+{WS}*+(?:,|(?=[\"']))){WS}*+"
    end = "(?=[/?#])"
    same = rf"(?P<{group}>{ORIGIN}){end}{rest}(?:(?P={group}){end}{rest})*+|({own}){rest}(?:{own}{rest})*+"
    return rf"{SEPARATORS}({'|'.join(names)}){QUOTE}{WS}*+(?:{same})[\"']"


def _tag(name: str, attributes: Iterable[str], *parts: str) -> str:
    """A pattern for a start tag with some parts in their order, each once at most, and others between."""
    others = _others(attributes)
    return rf"<{name}{NAME_END}{others}" + "".join(rf"(?:{part}{others})?+" for part in parts) + TAG_END


def _quoted(name: str) -> str:
    return rf"{SEPARATORS}{name}{QUOTE}([^\"']*+)[\"']"


Parts = tuple[tuple[int, int], ...]
"""Groups: of an attribute's name, and of its origin."""

_SOURCES, _SETS = ["src", "data-src", "data-lazy-src", "data-original"], ["srcset", "data-srcset"]
_PICTURE = [*_SOURCES, *_SETS, "data-lazy-srcset", "lowsrc", "dynsrc", "attributionsrc"]

IMG = compile_bytes(
    _tag(
        "img",
        _PICTURE,
        *(f"(?:{_address(_SOURCES, data=True)}|{_addresses(_SETS, group)})" for group in ("a", "b", "c")),
    )
)
IMG_PARTS: Parts = ((1, 2), (3, 4), (3, 5), (6, 7), (8, 9), (8, 10), (11, 12), (13, 14), (13, 15))
IMG_ORIGINS = tuple(origin for _, origin in IMG_PARTS)
SOURCE = compile_bytes(_tag("source", _PICTURE, *(_addresses(_SETS, group) for group in ("a", "b"))))
SOURCE_PARTS: Parts = ((1, 2), (1, 3), (4, 5), (4, 6))
FORM = compile_bytes(_tag("form", ["action"], _address(["action"])))
"""Groups: name, origin."""
LINK = compile_bytes(_tag("link", ["rel", "href", "imagesrcset"], _quoted("rel"), _address(["href"]), _quoted("rel")))
"""Groups: relation, name, origin, relation."""
_SCRIPT = ["src", "data-src", "data-lazy-src", "href", "xlink:href", "attributionsrc", "type", "language"]
SCRIPT = compile_bytes(_tag("script", _SCRIPT, _quoted("type"), _address(["src"]), _quoted("type")))
"""Groups: type, name, origin, type."""
_SHAPE = words(SVG_SHAPES)
_SHAPE_ATTRIBUTES = _others(["href", "xlink:href"])
_LEAF = (
    rf"<{_SHAPE}{NAME_END}{_SHAPE_ATTRIBUTES}{WS}*+/>"
    rf"|<(?P<{{0}}>{_SHAPE}|title){NAME_END}{_SHAPE_ATTRIBUTES}{WS}*+>[^<]*+</(?P={{0}})>"
)
DRAWING = compile_bytes(
    rf"(?:[^<]++|{_LEAF.format('a')}|<(?P<b>{_SHAPE}){NAME_END}{_SHAPE_ATTRIBUTES}{WS}*+>"
    rf"(?:[^<]++|{_LEAF.format('c')})*+</(?P=b)>)++"
)
"""Within a drawing: shapes and groups of them that refer to nothing and end where they seem to."""
NOSCRIPT = compile_bytes(rf"<noscript{NAME_END}{ATTRIBUTE}*+{TAG_END}")
TEXT = compile_bytes(rf"<(style|title|textarea){NAME_END}{ATTRIBUTE}*+({TAG_END})[^<]*+(?=</\1>)")
"""A whole element of raw text without its end tag, which does nothing."""
