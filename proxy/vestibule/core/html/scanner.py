"""What the compiled scanner is told of elements.

`_scanner.c` reads pages several times as fast as regular expressions do. Where it is missing `skimmer` does its work,
to the same result.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

from vestibule.core.html import elements
from vestibule.core.html.compiled import COMPILED
from vestibule.core.html.grammar import SVG_SHAPES

if TYPE_CHECKING:
    from vestibule.core.html._scanner import Attributes, Scanner


class Role(IntEnum):
    """How an element is read."""

    IDLE = 0
    """A name that matters only in end tags."""
    LOOK = 1
    """Always looked at closely."""
    REFERS = 2
    """Decided by each of its attributes by itself."""
    SOMETIMES = 3
    """Likewise, but it matters only if it has one of some attributes."""
    TEXT = 4
    """Holds raw text that does nothing."""
    SCRIPT = 5
    LINK = 6
    META = 7
    NOSCRIPT = 8
    SVG = 9
    SHAPE = 10
    """Means something within drawings only, where it loads nothing unless it has certain attributes."""
    USE = 11
    """Likewise, but what it refers to may be the page's own."""
    FRAME = 12
    """Decided by its attributes, and holds raw text."""


class Form(IntEnum):
    """How an attribute is read."""

    HAND_OVER = 0
    """Not judged by itself."""
    ADDRESS = 1
    CANDIDATES = 2
    """The like of ``srcset``."""
    LEAVE = 3
    """Written in a way that the scanner doesn't read."""
    WHOLE = 4
    """An address that means the same wherever it stands: what its origin doesn't tell is asked of all of it."""


class Verdict(IntEnum):
    """What is known of a tag that the scanner hands over."""

    ODD = 0
    """Nothing: to be looked at closely."""
    HELD = 2
    """It is held back by the origins of which its attributes say so; it is a frame, or a script without an end."""


class Where(IntFlag):
    """Where in a page the scanner starts."""

    BODY = 0
    HEAD = 1
    """Stop at what begins the body."""
    SELECT = 2
    DRAWING = 4
    """Surely within SVG; stop at what is not."""


_ROLES = {
    **dict.fromkeys((b"style", b"title", b"textarea"), Role.TEXT),
    b"script": Role.SCRIPT,
    b"link": Role.LINK,
    b"meta": Role.META,
    b"noscript": Role.NOSCRIPT,
    b"svg": Role.SVG,
    b"iframe": Role.FRAME,
}
_SHAPE_ATTRIBUTES: Attributes = tuple((name, Form.LEAVE, None) for name in sorted(elements.SVG_REFERENCES))
_HANDED_OVER = {
    b"script": (b"type", b"language"),
    b"link": (b"rel",),
    b"meta": (b"content",),
    b"iframe": (b"width", b"height", b"style", b"hidden"),
}
_SPACED = elements.LISTS - {b"srcset", b"imagesrcset", b"data-srcset", b"data-lazy-srcset"}
_CLOSING = frozenset({b"body", b"select", b"template"})
_CLOSING_IN_HEAD = frozenset({b"head", b"body", b"html", b"br", b"template"})
OURS = b"data-vestibule-"
"""Put before the names of attributes that are held back."""
INERT = b' type="text/plain"'
"""Given to scripts that are held back."""
PRAGMAS = frozenset(
    b"content-type x-ua-compatible content-language cache-control expires pragma imagetoolbar cleartype "
    b"content-style-type content-script-type last-modified language".split()
)
"""Values of ``http-equiv`` that make no browser contact anyone."""


def _form(attribute: bytes) -> Form:
    if attribute in _SPACED or attribute == b"srcdoc":
        return Form.LEAVE
    if attribute in elements.LISTS:
        return Form.CANDIDATES
    return Form.ADDRESS if attribute in elements.SVG_REFERENCES else Form.WHOLE


def _attributes(element: bytes, triggers: tuple[str, ...] = ()) -> Attributes:
    rules = elements.RULES.get(element, {})
    found: dict[bytes, tuple[int, str | None]] = dict.fromkeys(
        (*map(str.encode, triggers), *_HANDED_OVER.get(element, ())), (Form.HAND_OVER, None)
    )
    if element != b"meta":
        found |= {name: (_form(name), None if kind in elements.SPECIAL else kind) for name, kind in rules.items()}
    return tuple((name, form, kind) for name, (form, kind) in found.items())


def table() -> dict[bytes, tuple[int, bool, bool, bool, Attributes]]:
    """Everything the scanner knows of elements, as it wants to be told."""
    found: dict[bytes, tuple[Role, Attributes]] = dict.fromkeys(_CLOSING | _CLOSING_IN_HEAD, (Role.IDLE, ()))
    found |= {name.encode(): (Role.SHAPE, _SHAPE_ATTRIBUTES) for name in SVG_SHAPES}
    found[b"use"] = (Role.USE, _attributes(b"use"))
    for name in map(str.encode, elements.ALWAYS):
        judged = name in elements.RULES and (name not in elements.INTRICATE or name in _ROLES)
        role = _ROLES.get(name, Role.REFERS if judged else Role.LOOK)
        found[name] = (role, _attributes(name) if judged else ())
    for names, triggers in elements.IF_ATTRIBUTE.values():
        for name in map(str.encode, names):
            found[name] = (_ROLES.get(name, Role.SOMETIMES), _attributes(name, triggers))
    return {
        name: (role, name in elements.IN_HEAD, name in _CLOSING, name in _CLOSING_IN_HEAD, attributes)
        for name, (role, attributes) in found.items()
    }


def load() -> Scanner | None:
    """The compiled scanner, where there is one."""
    return None if COMPILED is None else COMPILED.Scanner(table(), PRAGMAS, INERT, OURS)


SCANNER = load()
"""The scanner of this process. Immutable."""
