"""From facts to cells: what is kept of a fact once it has been counted.

A fact has one value for each of its dimensions, and each value may have ancestors (``/blog/x`` → ``/blog/*``). It adds
one to the cell of every such *node*, to the cell of every pair of nodes of two dimensions, and to the cell of its kind
as a whole. A cell counts facts, and tells visitors apart by 36-bit hashes that mean nothing outside the cell:

    hash = 36 bits of AES(day's key, node(a) * M + node(b) * N + visitor)

where node() and visitor are 128-bit values keyed with the day's key too, two 64-bit lanes each, and M, N are odd. Among
a thousand visitors of a cell, two have the same hash once in 140,000 cells, and then count as one. A visitor has
another hash in every cell; whoever has all cells but not the day's key cannot tell that two hashes are of one visitor,
nor try out visitors. That is also why ancestors are cells of their own: hashes of different cells cannot be united.

All facts that came within a second are worked out in one go with numpy and one AES call for each few hundred of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

from vestibule.core.keys import DayKeys, node_key
from vestibule.core.partials import HASH_MASK, NO_NODE, Cell, Integers, Node, Partial, Total, compact, empty, merge

__all__ = ["Accumulator", "Cell", "Node", "Partial", "Total", "empty", "merge"]

MAX_ANCESTORS = 3
"""At most so many ancestors of a value are counted; more are left out, the farthest first."""

_LANES_A = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
_LANES_B = np.array([0xD6E8FEB86659FD93, 0xA0761D6478BD642F], dtype=np.uint64)
_FACTS_AT_ONCE = 512
_NOWHERE = -1
"""The place of a single's second node: the last, whatever there is."""


class Accumulator:
    """Collects facts until the next ``take``. Bounded by its user, who calls ``take`` when ``cells`` is large."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], _Group] = {}
        self._totals: dict[tuple[str, int, str], int] = {}
        self.facts = 0
        self.cells = 0

    def add(
        self,
        site: str,
        day: str,
        keys: DayKeys,
        kind: str,
        time: float,
        values: Mapping[str, tuple[str, ...]],
        visitor: bytes,
    ) -> None:
        """Count one fact.

        day, keys: the day in the site's time zone that ``time`` (seconds since the epoch, UTC) falls on, and its keys.
        values: for each dimension the value and its ancestors, nearest first. visitor: see ``visitor_key``.
        """
        group = self._groups.get((site, day, kind))
        if group is None:
            group = self._groups[site, day, kind] = _Group(site, day, kind, keys)
        self.cells += group.add(values, visitor)
        self.facts += 1
        total = site, int(time) // 60 * 60, kind
        self._totals[total] = self._totals.get(total, 0) + 1

    def take(self) -> Partial:
        """Return what has been collected, and begin anew."""
        groups, totals = self._groups, {Total(*key): count for key, count in self._totals.items()}
        self.__init__()  # type: ignore[misc]
        nodes: list[Node] = []
        keys, hashes = [], []
        for group in groups.values():
            for key, hashed in group.hashed(len(nodes)):
                keys.append(key)
                hashes.append(hashed)
            nodes.extend(group.nodes)
        if not keys:
            return empty()
        key = np.concatenate(keys)
        return compact(tuple(nodes), key, None, key, np.concatenate(hashes), totals)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which nodes of a fact make its cells. Place 0 is the kind's own node; a single's second is at ``_NOWHERE``."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]


@lru_cache(maxsize=4096)
def _shape(lengths: tuple[int, ...]) -> _Shape:
    """Lay out the cells of a fact whose dimensions have chains of the given lengths."""
    first, second, place = [0], [_NOWHERE], 1
    chains: list[range] = []
    for length in lengths:
        chain = range(place, place + length)
        place += length
        for node in chain:
            first.append(node)
            second.append(_NOWHERE)
        for earlier in chains:
            for a in earlier:
                for b in chain:
                    first.append(a)
                    second.append(b)
        chains.append(chain)
    return _Shape(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64))


_Chains = dict[tuple[str, ...], tuple[int, ...]]
"""Of one dimension the places of values and their ancestors."""


@dataclass(slots=True)
class _Alike:
    """Facts of one shape: the places of each one's nodes, ``_NOWHERE`` last, and its visitor. cells: how many each adds
    to."""

    cells: int
    places: list[tuple[int, ...]] = field(default_factory=list)
    visitors: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Group:
    """The facts of one site, day and kind since the last ``take``."""

    site: str
    day: str
    kind: str
    keys: DayKeys
    nodes: list[Node] = field(default_factory=list)
    _whole: int = field(init=False)
    _ids: list[bytes] = field(default_factory=list)
    _places: dict[tuple[str, str], int] = field(default_factory=dict)
    _chains: dict[str, _Chains] = field(default_factory=dict)
    _orders: dict[tuple[str, ...], list[tuple[str, _Chains]]] = field(default_factory=dict)
    _facts: dict[tuple[int, ...], _Alike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._whole = self._place("", "", ())

    def add(self, values: Mapping[str, tuple[str, ...]], visitor: bytes) -> int:
        """Note one fact; return how many cells it adds to."""
        dimensions = tuple(values)
        order = self._orders.get(dimensions) or self._order(dimensions)
        found = [known.get(values[name]) or self._chain(name, values[name]) for name, known in order]
        shape = tuple(map(len, found))
        alike = self._facts.get(shape)
        if alike is None:
            alike = self._facts[shape] = _Alike(len(_shape(shape).first))
        alike.places.append((self._whole, *chain.from_iterable(found), _NOWHERE))
        alike.visitors.append(visitor)
        return alike.cells

    def hashed(self, offset: int) -> Iterable[tuple[Integers, Integers]]:
        """Work out the cells: pairs of cell keys and hashes, in chunks. Places count from ``offset``."""
        # At the end a row of nothing, which is at _NOWHERE.
        ids = np.frombuffer(b"".join((*self._ids, bytes(16))), dtype="<u8").reshape(-1, 2)
        with np.errstate(over="ignore"):
            # Two lanes at a time: 16 bytes as one are picked out many times as fast.
            as_first, as_second = ((ids * lanes).view("V16").ravel() for lanes in (_LANES_A, _LANES_B))
        keys_first = np.arange(offset, offset + len(ids), dtype=np.uint64) << np.uint64(32)
        keys_second = np.append(np.arange(offset, offset + len(ids) - 1, dtype=np.uint64), np.uint64(NO_NODE))
        # ECB is right here: every block is a separate input of the pseudo-random function.
        encryptor = Cipher(AES(self.keys.cells), ECB()).encryptor()  # noqa: S305
        for lengths, alike in self._facts.items():
            places, visitors = alike.places, alike.visitors
            shape = _shape(lengths)
            for start in range(0, len(places), _FACTS_AT_ONCE):
                chosen = slice(start, start + _FACTS_AT_ONCE)
                place = np.array(places[chosen], dtype=np.int64)
                first, second = place.take(shape.first, axis=1), place.take(shape.second, axis=1)
                blocks = as_first[first].view("<u8").reshape(*first.shape, 2)
                blocks += as_second[second].view("<u8").reshape(blocks.shape)
                blocks += np.frombuffer(b"".join(visitors[chosen]), dtype="<u8").reshape(-1, 1, 2)
                hashes = np.frombuffer(encryptor.update(blocks.data.cast("B")), dtype="<u8")[::2] & HASH_MASK
                yield (keys_first[first] | keys_second[second]).ravel(), hashes

    def _order(self, dimensions: tuple[str, ...]) -> list[tuple[str, _Chains]]:
        """The dimensions by the alphabet, each with the chains that are known of it."""
        order = [(name, self._chains.setdefault(name, {})) for name in sorted(dimensions)]
        self._orders[dimensions] = order
        return order

    def _chain(self, dimension: str, values: tuple[str, ...]) -> tuple[int, ...]:
        # A value that is its own ancestor would be one node twice.
        nodes = tuple(dict.fromkeys(values))[: MAX_ANCESTORS + 1]
        places = tuple(self._place(dimension, value, nodes[i + 1 :]) for i, value in enumerate(nodes))
        self._chains[dimension][values] = places
        return places

    def _place(self, dimension: str, value: str, path: tuple[str, ...]) -> int:
        place = self._places.get((dimension, value))
        if place is None:
            place = self._places[dimension, value] = len(self.nodes)
            self.nodes.append(Node(self.site, self.day, self.kind, dimension, value, path))
            self._ids.append(node_key(self.keys, self.kind, dimension, value))
        return place
