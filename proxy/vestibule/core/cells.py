"""From facts to cells: what is kept of a fact once it has been counted.

A fact has one value for each of its dimensions, and each value may have ancestors (``/blog/x`` → ``/blog/*``). It adds
one to the cell of every such *node*, to the cell of every pair of nodes of two dimensions, and to the cell of its kind
as a whole. A cell counts facts, and tells visitors apart by 36-bit hashes that mean nothing outside the cell:

    hash = 36 bits of AES(day's key, node(a) * M + node(b) * N + visitor)

where node() and visitor are 128-bit values keyed with the day's key too, two 64-bit lanes each, and M, N are odd. Among
a thousand visitors of a cell, two have the same hash once in 140,000 cells, and then count as one. A visitor has
another hash in every cell; whoever has all cells but not the day's key cannot tell that two hashes are of one visitor,
nor try out visitors. That is also why ancestors are cells of their own: hashes of different cells cannot be united.

All facts that came within a second are worked out in one go with numpy and one AES call for each few hundred of them;
cell and hash fit into one 64-bit number, and sorting such numbers is what numpy does fastest.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

from vestibule.core.keys import DayKeys, node_key

Integers = NDArray[np.uint64]

MAX_ANCESTORS = 3
"""At most so many ancestors of a value are counted; more are left out, the farthest first."""

_NO_NODE = 0xFFFFFFFF
_HASH_BITS = np.uint64(36)
_HASH_MASK = np.uint64((1 << 36) - 1)
_MAX_RANK = 1 << 28
_LANES_A = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
_LANES_B = np.array([0xD6E8FEB86659FD93, 0xA0761D6478BD642F], dtype=np.uint64)
_FACTS_AT_ONCE = 512


class Node(NamedTuple):
    """A value of a dimension on a day. The node with neither stands for all facts of the kind.

    day: ISO 8601, in the site's time zone. path: the value's ancestors, nearest first, the root left out.
    """

    site: str
    day: str
    kind: str
    dimension: str
    value: str
    path: tuple[str, ...]


class Total(NamedTuple):
    """Facts of a kind within a minute (seconds since the epoch, UTC, a multiple of 60)."""

    site: str
    minute: int
    kind: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, spelled out: the way tests and the store look at it. ``b`` is None for a single."""

    a: Node
    b: Node | None
    count: int
    hashes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """What some facts added to their cells, as columns.

    Cell i is of ``nodes[a[i]]`` and, unless ``b[i]`` is 0xFFFFFFFF, of ``nodes[b[i]]``, whose dimension comes later in
    the alphabet. Its hashes are ``hashes[ends[i - 1]:ends[i]]``, ascending and each once.
    """

    nodes: tuple[Node, ...]
    a: Integers
    b: Integers
    counts: Integers
    ends: Integers
    hashes: Integers
    totals: Mapping[Total, int]

    def __len__(self) -> int:
        return len(self.a)

    @property
    def days(self) -> frozenset[tuple[str, str]]:
        """The sites and days that the cells are of."""
        return frozenset((node.site, node.day) for node in self.nodes)

    def cells(self) -> Iterable[Cell]:
        """Spell out every cell."""
        start = 0
        for a, b, count, end in zip(
            self.a.tolist(), self.b.tolist(), self.counts.tolist(), self.ends.tolist(), strict=True
        ):
            second = None if b == _NO_NODE else self.nodes[b]
            yield Cell(self.nodes[a], second, count, tuple(self.hashes[start:end].tolist()))
            start = end

    def only(self, wanted: Iterable[tuple[str, str]]) -> Partial:
        """Return the cells of the given sites and days; the totals stay with them all."""
        chosen = frozenset(wanted)
        if chosen >= self.days:
            return self
        of_node = np.array([(node.site, node.day) in chosen for node in self.nodes], dtype=bool)
        return _select(self, of_node[self.a])

    @property
    def pairs(self) -> int:
        """How many of the cells are pairs."""
        return int(np.count_nonzero(self.b != _NO_NODE))

    def singles(self) -> Partial:
        """Return the cells without the pairs."""
        return _select(self, self.b == _NO_NODE)

    def split(self, hashes: int) -> list[Partial]:
        """Return parts of at most so many hashes each, unless one cell alone has more. The totals go with the first."""
        parts = []
        start = 0
        while start < len(self):
            before = self.ends[start - 1] if start else np.uint64(0)
            end = int(np.searchsorted(self.ends, before + np.uint64(hashes), side="right"))
            chosen = np.zeros(len(self), dtype=bool)
            chosen[start : max(end, start + 1)] = True
            parts.append(replace(_select(self, chosen), totals={} if start else self.totals))
            start = max(end, start + 1)
        return parts

    def to_bytes(self) -> bytes:
        """Encode for the spool: a compressed header with the nodes and totals, then the columns, little-endian."""
        header = json.dumps(
            {
                "nodes": self.nodes,
                "totals": [[*total, count] for total, count in self.totals.items()],
                "cells": len(self),
                "hashes": len(self.hashes),
            },
            separators=(",", ":"),
        ).encode("ascii")
        packed = zlib.compress(header, 1)
        columns = (
            self.a.astype("<u4"),
            self.b.astype("<u4"),
            self.counts.astype("<u4"),
            self.ends.astype("<u8"),
            self.hashes.astype("<u8"),
        )
        return struct.pack("<I", len(packed)) + packed + b"".join(column.tobytes() for column in columns)

    @classmethod
    def from_bytes(cls, data: bytes) -> Partial:
        """Decode what ``to_bytes`` made. Raises ValueError where it is something else."""
        try:
            (length,) = struct.unpack_from("<I", data)
            header = json.loads(zlib.decompress(data[4 : 4 + length]))
            cells, hashes = header["cells"], header["hashes"]
            offset = 4 + length
            columns: list[Integers] = []
            for kind, size in (("<u4", cells), ("<u4", cells), ("<u4", cells), ("<u8", cells), ("<u8", hashes)):
                column = np.frombuffer(data, dtype=kind, count=size, offset=offset)
                columns.append(column.astype(np.uint64))
                offset += column.nbytes
            nodes = tuple(
                Node(site, day, kind, dimension, value, tuple(path))
                for site, day, kind, dimension, value, path in header["nodes"]
            )
            totals = {Total(site, minute, kind): count for site, minute, kind, count in header["totals"]}
        except (struct.error, zlib.error, KeyError, TypeError, ValueError) as error:
            raise ValueError("not an encoded partial") from error
        a, b, counts, ends, found = columns
        return cls(nodes, a, b, counts, ends, found, totals)


def empty() -> Partial:
    """Return the partial of no facts at all."""
    nothing = np.zeros(0, dtype=np.uint64)
    return Partial((), nothing, nothing, nothing, nothing, nothing, {})


def merge(partials: Sequence[Partial]) -> Partial:
    """Add partials up: each visitor of a cell counts once."""
    if len(partials) == 1:
        return partials[0]
    # A value is the same node whatever its path: should the catalogue change within a day, the first path stays.
    index: dict[tuple[str, ...], int] = {}
    nodes: list[Node] = []
    keys, counts, hash_keys, hashes = [], [], [], []
    totals: dict[Total, int] = {}
    for partial in partials:
        for node in partial.nodes:
            if index.setdefault(node[:5], len(nodes)) == len(nodes):
                nodes.append(node)
        places = np.array([index[node[:5]] for node in partial.nodes], dtype=np.uint64)
        places = np.append(places, np.uint64(_NO_NODE))
        second = np.minimum(partial.b, len(partial.nodes))
        key = places[partial.a] << np.uint64(32) | places[second]
        keys.append(key)
        counts.append(partial.counts)
        hash_keys.append(np.repeat(key, np.diff(partial.ends, prepend=np.uint64(0)).astype(np.int64)))
        hashes.append(partial.hashes)
        for total, count in partial.totals.items():
            totals[total] = totals.get(total, 0) + count
    if not keys:
        return empty()
    return _compact(
        tuple(nodes),
        np.concatenate(keys),
        np.concatenate(counts),
        np.concatenate(hash_keys),
        np.concatenate(hashes),
        totals,
    )


class Accumulator:
    """Collects facts until the next ``take``. Bounded by its user, who calls ``take`` when ``cells`` is large."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], _Group] = {}
        self._totals: dict[Total, int] = {}
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
        total = Total(site, int(time) // 60 * 60, kind)
        self._totals[total] = self._totals.get(total, 0) + 1

    def take(self) -> Partial:
        """Return what has been collected, and begin anew."""
        groups, totals = self._groups, self._totals
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
        return _compact(tuple(nodes), key, None, key, np.concatenate(hashes), totals)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which nodes of a fact make its cells. Place 0 is the kind's own node; -1 in ``second`` marks a single."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]


@lru_cache(maxsize=4096)
def _shape(lengths: tuple[int, ...]) -> _Shape:
    """Lay out the cells of a fact whose dimensions have chains of the given lengths."""
    first, second, place = [0], [-1], 1
    chains: list[range] = []
    for length in lengths:
        chain = range(place, place + length)
        place += length
        for node in chain:
            first.append(node)
            second.append(-1)
        for earlier in chains:
            for a in earlier:
                for b in chain:
                    first.append(a)
                    second.append(b)
        chains.append(chain)
    return _Shape(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64))


@dataclass(slots=True)
class _Group:
    """The facts of one site, day and kind since the last ``take``."""

    site: str
    day: str
    kind: str
    keys: DayKeys
    nodes: list[Node] = field(default_factory=list)
    _ids: list[bytes] = field(default_factory=list)
    _places: dict[tuple[str, str], int] = field(default_factory=dict)
    _chains: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = field(default_factory=dict)
    _facts: dict[tuple[int, ...], tuple[list[list[int]], list[bytes]]] = field(default_factory=dict)

    def add(self, values: Mapping[str, tuple[str, ...]], visitor: bytes) -> int:
        """Note one fact; return how many cells it adds to."""
        places = [self._place("", "", ())]
        lengths = []
        chains = self._chains
        for dimension in sorted(values):
            chain = values[dimension]
            found = chains.get((dimension, chain))
            if found is None:
                found = self._chain(dimension, chain)
            places += found
            lengths.append(len(found))
        shape = tuple(lengths)
        facts = self._facts.get(shape)
        if facts is None:
            facts = self._facts[shape] = ([], [])
        facts[0].append(places)
        facts[1].append(visitor)
        return len(_shape(shape).first)

    def hashed(self, offset: int) -> Iterable[tuple[Integers, Integers]]:
        """Work out the cells: pairs of cell keys and hashes, in chunks. Places count from ``offset``."""
        ids = np.frombuffer(b"".join(self._ids), dtype="<u8").reshape(-1, 2)
        with np.errstate(over="ignore"):
            as_first, as_second = ids * _LANES_A, ids * _LANES_B
        # ECB is right here: every block is a separate input of the pseudo-random function.
        cipher = Cipher(AES(self.keys.cells), ECB())  # noqa: S305
        for lengths, (places, visitors) in self._facts.items():
            shape = _shape(lengths)
            single = shape.second < 0
            for start in range(0, len(places), _FACTS_AT_ONCE):
                place = np.array(places[start : start + _FACTS_AT_ONCE], dtype=np.int64)
                visitor = np.frombuffer(b"".join(visitors[start : start + _FACTS_AT_ONCE]), dtype="<u8").reshape(
                    -1, 1, 2
                )
                first, second = place[:, shape.first], place[:, shape.second]
                added = as_second[second]
                added[:, single] = 0
                blocks = as_first[first] + added + visitor
                encryptor = cipher.encryptor()
                secret = encryptor.update(blocks.astype("<u8").tobytes())
                hashes = np.frombuffer(secret, dtype="<u8")[::2].astype(np.uint64) & _HASH_MASK
                a = (first + offset).astype(np.uint64)
                b = (second + offset).astype(np.uint64)
                b[:, single] = _NO_NODE
                yield (a << np.uint64(32) | b).ravel(), hashes

    def _chain(self, dimension: str, chain: tuple[str, ...]) -> tuple[int, ...]:
        # A value that is its own ancestor would be one node twice.
        nodes = tuple(dict.fromkeys(chain))[: MAX_ANCESTORS + 1]
        places = tuple(self._place(dimension, value, nodes[i + 1 :]) for i, value in enumerate(nodes))
        self._chains[dimension, chain] = places
        return places

    def _place(self, dimension: str, value: str, path: tuple[str, ...]) -> int:
        place = self._places.get((dimension, value))
        if place is None:
            place = self._places[dimension, value] = len(self.nodes)
            self.nodes.append(Node(self.site, self.day, self.kind, dimension, value, path))
            self._ids.append(node_key(self.keys, self.kind, dimension, value))
        return place


def _compact(
    nodes: tuple[Node, ...],
    keys: Integers,
    counts: Integers | None,
    hash_keys: Integers,
    hashes: Integers,
    totals: Mapping[Total, int],
) -> Partial:
    """Add up the counts of equal keys, and keep each hash of a key once. Without counts, each hash is one fact."""
    if not len(keys):
        return replace(empty(), totals=totals)
    ranked = _Ranks(keys, len(nodes))
    packed = np.sort(ranked.of(hash_keys) << _HASH_BITS | hashes)
    ranks = packed >> _HASH_BITS
    starts = _starts(ranks)
    present = ranks[starts]
    fresh = np.concatenate(([True], packed[1:] != packed[:-1]))
    ends = np.append(np.cumsum(fresh)[starts[1:] - 1], np.count_nonzero(fresh)).astype(np.uint64)
    if counts is None:
        added = np.diff(starts, append=len(packed)).astype(np.uint64)
    else:
        rank = ranked.of(keys)
        order = np.argsort(rank)
        added = np.add.reduceat(counts[order], _starts(rank[order]))
    a, b = ranked.nodes(present)
    return Partial(nodes, a, b, added, ends, packed[fresh] & _HASH_MASK, totals)


class _Ranks:
    """Small numbers for keys, in the keys' order: a rank and a hash fit into 64 bits."""

    def __init__(self, keys: Integers, nodes: int) -> None:
        self._width = np.uint64(nodes + 1)
        self._known: Integers | None = None
        if (nodes + 1) ** 2 > _MAX_RANK:
            self._known = np.unique(keys)
            if len(self._known) > _MAX_RANK:
                raise ValueError("too many cells at once")

    def of(self, keys: Integers) -> Integers:
        if self._known is not None:
            place: Integers = np.searchsorted(self._known, keys).astype(np.uint64)
            return place
        ranks: Integers = (keys >> np.uint64(32)) * self._width
        ranks += np.minimum(keys & np.uint64(_NO_NODE), self._width - np.uint64(1))
        return ranks

    def nodes(self, ranks: Integers) -> tuple[Integers, Integers]:
        """The two nodes of each key; the second may be none."""
        if self._known is not None:
            keys = self._known[ranks]
            return keys >> np.uint64(32), keys & np.uint64(_NO_NODE)
        a, b = ranks // self._width, ranks % self._width
        return a, np.where(b == self._width - np.uint64(1), np.uint64(_NO_NODE), b)


def _starts(ascending: Integers) -> NDArray[np.int64]:
    """Where each run of equal numbers begins."""
    return np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))


def _select(partial: Partial, chosen: NDArray[np.bool_]) -> Partial:
    """Keep the chosen cells, and of the nodes those that they name."""
    lengths = np.diff(partial.ends, prepend=np.uint64(0)).astype(np.int64)
    a, b = partial.a[chosen], partial.b[chosen]
    pair = b != _NO_NODE
    used = np.zeros(len(partial.nodes), dtype=bool)
    used[a] = True
    used[b[pair]] = True
    places = np.cumsum(used).astype(np.uint64) - np.uint64(1)
    second = np.full(len(b), _NO_NODE, dtype=np.uint64)
    second[pair] = places[b[pair]]
    return Partial(
        tuple(node for node, kept in zip(partial.nodes, used.tolist(), strict=True) if kept),
        places[a],
        second,
        partial.counts[chosen],
        np.cumsum(lengths[chosen]).astype(np.uint64),
        partial.hashes[np.repeat(chosen, lengths)],
        partial.totals,
    )
