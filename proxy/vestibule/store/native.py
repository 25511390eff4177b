"""ClickHouse's Native format, written from columns and read into columns as they lie in memory.

A block is the numbers of columns and rows, then each column: its name, its type and its values. Numbers lie one after
the other, little-endian; a text comes behind its length in bytes (LEB128); of an array column first the ends of all
arrays come (64 bits each), then all their elements. What is asked for comes as texts of low cardinality, which
are a dictionary and places in it, and as 64-bit numbers. So that hundreds of thousands of hashes and numbers never
become Python objects, and a text that stands in many rows is encoded or decoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: each different one once, and for each row its place among them."""

    names: Sequence[str]
    places: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """What was read: the columns of texts and those of numbers, each in their order."""

    texts: tuple[Texts, ...]
    numbers: tuple[NDArray[np.int64], ...]


_HAS_KEYS, _SHARED = 0x200, 0x100
"""How a column of low cardinality says that its dictionary comes with it, or is one that several blocks share."""


def read(data: bytes) -> Iterator[Block]:
    """Yield the blocks of an answer, whose columns are ``LowCardinality(String)`` or ``UInt64`` below 2⁶³.

    Raises ValueError where it is something else, or cut short.
    """
    reader = _Reader(data)
    while reader.at < len(data):
        columns, rows = reader.length(), reader.length()
        if rows:
            yield reader.block(columns, rows)
        else:
            reader.headings(columns)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def length(self) -> int:
        number, shift, byte = 0, 0, 0x80
        while byte >= 0x80:
            (byte,) = self._take(1)
            number |= (byte & 0x7F) << shift
            shift += 7
        return number

    def headings(self, columns: int) -> list[str]:
        """The types of columns without rows."""
        return self._texts(2 * columns)[1::2]

    def block(self, columns: int, rows: int) -> Block:
        texts, numbers = [], []
        for _ in range(columns):
            (kind,) = self.headings(1)
            if kind == "UInt64":
                numbers.append(self._numbers(8, rows))
            elif kind == "LowCardinality(String)":
                texts.append(self._dictionary(rows))
            else:
                raise ValueError(f"a column of type {kind}")
        return Block(tuple(texts), tuple(numbers))

    def _dictionary(self, rows: int) -> Texts:
        _, flags, keys = self._numbers(8, 3).tolist()
        if not flags & _HAS_KEYS or flags & _SHARED:
            raise ValueError("a dictionary that several blocks share")
        names = self._texts(keys)
        if self._numbers(8, 1).tolist() != [rows]:
            raise ValueError("a column of another length than its block")
        places = self._numbers(1 << (flags & 3), rows)
        if len(places) and int(places.max()) >= keys:
            raise ValueError("a text that is not in its dictionary")
        return Texts(names, places)

    def _numbers(self, size: int, count: int) -> NDArray[np.int64]:
        """Numbers of so many bytes each."""
        return np.frombuffer(self._take(size * count), dtype=f"<u{size}").astype(np.int64)

    def _texts(self, count: int) -> list[str]:
        found, data, at = [], self._data, self.at
        for _ in range(count):
            if at >= len(data):
                raise ValueError("cut short")
            length = data[at]
            at += 1
            if length > 0x7F:
                self.at = at - 1
                length, at = self.length(), self.at
            found.append(data[at : at + length].decode("utf-8", "replace"))
            at += length
        self.at = at
        return found

    def _take(self, size: int) -> memoryview:
        if self.at + size > len(self._data):
            raise ValueError("cut short")
        self.at += size
        return memoryview(self._data)[self.at - size : self.at]


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
