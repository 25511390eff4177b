"""ClickHouse's Native format, written from columns as they lie in memory.

A block is the numbers of columns and rows, then each column: its name, its type and its values. Numbers lie one after
the other, little-endian; a text comes behind its length in bytes (LEB128); of an array column first the ends of all
arrays come (64 bits each), then all their elements. So that hundreds of thousands of hashes never become Python
objects, and a text that stands in many rows is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = Sequence[int]

_SHORT = tuple(bytes((number,)) for number in range(0x80))


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, its type as ClickHouse writes it, and its values."""

    name: str
    type: str
    data: bytes


def block(rows: int, columns: Sequence[Column]) -> bytes:
    """One block of rows."""
    parts = [_length(len(columns)), _length(rows)]
    for column in columns:
        parts += [encoded(column.name), encoded(column.type), column.data]
    return b"".join(parts)


def encoded(text: str) -> bytes:
    """A text behind its length. What is no character becomes a question mark."""
    data = text.encode("utf-8", "replace")
    return _length(len(data)) + data


def texts(values: Sequence[bytes], places: Places) -> bytes:
    """A column of texts: of ``values``, already encoded, those at ``places``."""
    if not places:
        return b""
    if len(places) == 1:
        return values[places[0]]
    return b"".join(itemgetter(*places)(values))


def numbers(values: NDArray[Any], kind: str) -> bytes:
    """A column of numbers. kind: numpy's name of the type, little-endian, such as ``<u8``."""
    return values.astype(kind, copy=False).tobytes()


def arrays(ends: NDArray[Any], elements: bytes) -> bytes:
    """A column of arrays. ends: how many elements there are up to the end of each; elements: all, encoded."""
    return numbers(ends, "<u8") + elements


def text_arrays(values: Sequence[Sequence[str]], places: Places) -> bytes:
    """A column of arrays of texts: of ``values`` those at ``places``."""
    known = [b"".join(map(encoded, value)) for value in values]
    lengths: Iterable[int] = accumulate(len(values[place]) for place in places)
    return arrays(np.fromiter(lengths, dtype=np.uint64, count=len(places)), texts(known, places))


def _length(number: int) -> bytes:
    """Unsigned LEB128."""
    if number <= 0x7F:
        return _SHORT[number]
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
