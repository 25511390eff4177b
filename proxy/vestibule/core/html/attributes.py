"""The attributes of one tag: where they stand in the buffer, and what may stand there instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from vestibule.core.html.grammar import ITEM
from vestibule.core.html.vocabulary import word

_OURS = b"data-vestibule"
_DECLARATION = b"data-vestibule-declaration"
Item = tuple[int, bytes, bytes, int]
"""One attribute of a tag: where its name starts in the buffer, its lower-case name, its raw value and its start."""
Handed = tuple[int, bytes, bytes, int, Any]
"""The same, as the compiled scanner hands it over: in the case it has, with what `Origins.origins` knows of it."""


class Replacement(NamedTuple):
    """What to put in place of a part of an attribute."""

    start: int
    end: int
    value: bytes


def read_items(buffer: bytes, start: int, end: int) -> Iterator[Item]:
    """The attributes that stand between two places in the buffer, in their order."""
    for match in ITEM.finditer(buffer, start, end):
        group = match.lastindex or 1
        value, value_start = (match[group], match.start(group)) if group > 1 else (b"", -1)
        yield match.start(1), match[1].lower(), value, value_start


def first(items: Iterable[Item], name: bytes) -> bytes:
    """The raw value of the first attribute of some name; empty where there is none."""
    return next((value for _, found, value, _ in items if found == name), b"")


def lowered(items: Iterable[Handed]) -> list[Item]:
    """What the compiled scanner hands over, as `read_items` gives it."""
    return [(start, name.lower(), value, value_start) for start, name, value, value_start, _ in items]


def spoofs(name: bytes) -> bool:
    """Whether an attribute of the page imitates ours."""
    return name.startswith(_OURS) and name != _DECLARATION


def closes_itself(buffer: bytes, attributes_end: int, end: int) -> bool:
    """Whether a tag ends in "/>" with a slash that is no part of a value."""
    return buffer[end - 2 : end] == b"/>" and attributes_end < end - 1


def quoted_span(buffer: bytes, item: Item) -> tuple[int, int]:
    """Where an attribute's value stands, its quotes included."""
    _, _, value, start = item
    end = start + len(value)
    return (start - 1, end + 1) if buffer[start - 1 : start] in (b'"', b"'") else (start, end)


def changes_encoding(values: dict[bytes, bytes]) -> bool:
    """Whether a pragma declares ISO-2022-JP: read like that, the page would be another. What counts as such is
    transcoded beforehand (see `encoding`), so here it must have no effect."""
    declared = values.get(b"charset", b"")
    if word(values.get(b"http-equiv", b"")) == "content-type":
        declared += values.get(b"content", b"")
    return "2022" in word(declared)


def first_values(items: Iterable[Item]) -> dict[bytes, bytes]:
    """Name → raw value; of duplicates the first counts."""
    values: dict[bytes, bytes] = {}
    for _, name, value, _ in items:
        values.setdefault(name, value)
    return values
