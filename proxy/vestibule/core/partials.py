"""Partials: what some facts added to their cells, as columns, to be merged, cut into parts, written and read again.

A cell and one of its hashes (see ``cells``) fit into one 64-bit number, and sorting such numbers is what numpy does
fastest.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.uint64]

NO_NODE = 0xFFFFFFFF
"""The second node of a single."""

_HASH_BITS = np.uint64(36)
HASH_MASK = np.uint64((1 << 36) - 1)
_HALF = np.uint64(32)
_MAX_RANK = 1 << 28
_ODD = np.uint64(0x9E3779B97F4A7C15)

_FORM = 1
_KINDS = {0: ("<u4", "<u4", "<u4", "<u8", "<u8"), _FORM: ("<u4", "<u4", "<u4", "<u4", "<u4", "u1")}
"""What the columns of a partial are written as, by form. The first is read only: a spool may have it from before."""


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

    Cell i is of ``nodes[a[i]]`` and, unless ``b[i]`` is ``NO_NODE``, of ``nodes[b[i]]``, whose dimension comes later in
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

    def counted(self) -> dict[tuple[str, str], int]:
        """What all cells of a site and day count together."""
        places: dict[tuple[str, str], int] = {}
        of_node = np.array(
            [places.setdefault((node.site, node.day), len(places)) for node in self.nodes], dtype=np.int64
        )
        sums = np.bincount(of_node[self.a], weights=self.counts, minlength=len(places))
        return dict(zip(places, sums.astype(np.int64).tolist(), strict=True))

    def cells(self) -> Iterable[Cell]:
        """Spell out every cell."""
        start = 0
        for a, b, count, end in zip(
            self.a.tolist(), self.b.tolist(), self.counts.tolist(), self.ends.tolist(), strict=True
        ):
            second = None if b == NO_NODE else self.nodes[b]
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
        return int(np.count_nonzero(self.b != NO_NODE))

    def singles(self) -> Partial:
        """Return the cells without the pairs."""
        return _select(self, self.b == NO_NODE)

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

    def scatter(self, depth: int) -> list[Partial]:
        """Return eight parts, by what the cells are of: a cell is always in the same one, whatever it is among. Each
        depth (0 to 20) tells cells apart anew. The totals go with the first that has a cell."""
        of_node = np.array([_scattered(node) for node in self.nodes] + [0], dtype=np.uint64)
        ways = of_node[self.a] * _ODD + of_node[np.minimum(self.b, len(self.nodes))]
        ways = (ways >> np.uint64(61 - 3 * depth)) & np.uint64(7)
        first = ways.min(initial=np.uint64(7))
        parts = (_select(self, ways == way) for way in range(8))
        return [replace(part, totals=self.totals if way == first else {}) for way, part in enumerate(parts)]

    def to_bytes(self) -> bytes:
        """Encode for the spool: a compressed header with the nodes and totals, then the columns, little-endian. Of a
        hash, whose 36 bits fit into five bytes, first the lower 32 bits of all come, then the others."""
        header = json.dumps(
            {
                "form": _FORM,
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
            np.diff(self.ends, prepend=np.uint64(0)).astype("<u4"),
            self.hashes.astype("<u4"),
            (self.hashes >> _HALF).astype("u1"),
        )
        return struct.pack("<I", len(packed)) + packed + b"".join(column.tobytes() for column in columns)

    @classmethod
    def from_bytes(cls, data: bytes) -> Partial:
        """Decode what ``to_bytes`` made. Raises ValueError where it is something else."""
        try:
            (length,) = struct.unpack_from("<I", data)
            header = json.loads(zlib.decompress(data[4 : 4 + length]))
            cells, hashes, form = header["cells"], header["hashes"], header.get("form", 0)
            kinds = _KINDS[form]
            offset = 4 + length
            columns: list[Integers] = []
            for kind, size in zip(kinds, (cells, cells, cells, cells, hashes, hashes), strict=False):
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
        a, b, counts, ends, found, *upper = columns
        if form == _FORM:
            ends = np.cumsum(ends)
            found |= upper[0] << _HALF
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
        places = np.append(places, np.uint64(NO_NODE))
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
    return compact(
        tuple(nodes),
        np.concatenate(keys),
        np.concatenate(counts),
        np.concatenate(hash_keys),
        np.concatenate(hashes),
        totals,
    )


def compact(
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
    fresh = _starts(packed)
    ends = np.append(np.searchsorted(fresh, starts[1:]), len(fresh)).astype(np.uint64)
    if counts is None:
        added = np.diff(starts, append=len(packed)).astype(np.uint64)
    else:
        rank = ranked.of(keys)
        order = np.argsort(rank)
        added = np.add.reduceat(counts[order], _starts(rank[order]))
    a, b = ranked.nodes(present)
    return Partial(nodes, a, b, added, ends, packed[fresh] & HASH_MASK, totals)


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
        ranks += np.minimum(keys & np.uint64(NO_NODE), self._width - np.uint64(1))
        return ranks

    def nodes(self, ranks: Integers) -> tuple[Integers, Integers]:
        """The two nodes of each key; the second may be none."""
        if self._known is not None:
            keys = self._known[ranks]
            return keys >> np.uint64(32), keys & np.uint64(NO_NODE)
        a, b = ranks // self._width, ranks % self._width
        return a, np.where(b == self._width - np.uint64(1), np.uint64(NO_NODE), b)


def _scattered(node: Node) -> int:
    """64 bits that are the same for a node in every partial."""
    return int.from_bytes(blake2b("\n".join(node[:5]).encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _starts(ascending: Integers) -> NDArray[np.int64]:
    """Where each run of equal numbers begins."""
    return np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))


def _select(partial: Partial, chosen: NDArray[np.bool_]) -> Partial:
    """Keep the chosen cells, and of the nodes those that they name."""
    lengths = np.diff(partial.ends, prepend=np.uint64(0)).astype(np.int64)
    a, b = partial.a[chosen], partial.b[chosen]
    pair = b != NO_NODE
    used = np.zeros(len(partial.nodes), dtype=bool)
    used[a] = True
    used[b[pair]] = True
    places = np.cumsum(used).astype(np.uint64) - np.uint64(1)
    second = np.full(len(b), NO_NODE, dtype=np.uint64)
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
