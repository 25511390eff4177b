"""Which values of one dimension may be told: a walk down its tree, and what is left of each value beside its children.

From the root down, a value with fewer than ``k`` visitors is folded into its parent. What is left of a parent without
its released children, its *remainder*, can be worked out by anyone, so it too must stand for ``k`` visitors, or be
empty: while it does not, it takes the smallest released child with it (and all below that child). Each released value
without released children, and each remainder, is a *bucket*; every fact is in exactly one bucket of each dimension.

Hashes of different cells cannot be united, so the visitors of a remainder are not known. In their place stands a lower
bound: the largest folded child's, or the parent's less the released children's, whichever is more. Above ``EXACT``
visitors the counts are estimates, and the bound allows for their error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

RARE = "(rare)"
"""The name of the root's remainder: what is too rare to be told in any way."""

EXACT = 4096
"""Up to here the store counts visitors exactly."""

ERROR = 0.03
"""How far an estimate above ``EXACT`` may be off, relatively: about ten standard deviations."""

ROOT = ""
"""The root's key in a fold map; no value of a dimension is empty."""


class Part(StrEnum):
    """What a released number is of.

    LEAF: a value, and no value below it is released. NODE: a value with all that is below it. REST: what is left of a
    NODE without its released children. Leaves and rests together are all facts, each once.
    """

    LEAF = "leaf"
    NODE = "node"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Single:
    """What was counted of one value, all below it included. path: its ancestors, nearest first, the root left out."""

    value: str
    path: tuple[str, ...]
    count: int
    visitors: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of a dimension that may be told. The visitors of a remainder are a lower bound."""

    value: str
    part: Part
    path: tuple[str, ...]
    count: int
    visitors: int

    @property
    def at_most(self) -> int:
        """How many visitors it has at most."""
        return self.count if self.part is Part.REST else min(self.count, at_most(self.visitors))


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers of several buckets, as columns. lowest, most: visitors at least and at most; rests: the remainders."""

    counts: Numbers
    lowest: Numbers
    most: Numbers
    rests: Flags


def measures(buckets: Sequence[Bucket]) -> Measures:
    counts = np.array([bucket.count for bucket in buckets], dtype=np.int64)
    lowest, most = bounds(np.array([bucket.visitors for bucket in buckets], dtype=np.int64))
    rests = np.array([bucket.part is Part.REST for bucket in buckets], dtype=bool)
    return Measures(counts, lowest, np.where(rests, counts, np.minimum(counts, most)), rests)


@dataclass(frozen=True, slots=True)
class Fold:
    """The fold map of one dimension, and its buckets. Bucket numbers are places in ``buckets``, -1 is none.

    own: for each released value its bucket. parent: for each released value the bucket of its parent's remainder, which
    it is not part of. within: for each value that is wholly inside one bucket, and largest there, that bucket.
    measures: of the buckets.
    """

    dimension: str
    nodes: tuple[Bucket, ...]
    buckets: tuple[Bucket, ...]
    own: dict[str, int]
    parent: dict[str, int]
    within: dict[str, int]
    measures: Measures

    @property
    def tells(self) -> bool:
        """Whether there is anything but a remainder."""
        return any(bucket.part is Part.LEAF for bucket in self.buckets)


def at_least(visitors: int) -> int:
    """Return how many visitors there are at least, given the store's number."""
    return visitors if visitors <= EXACT else int(visitors * (1 - ERROR))


def at_most(visitors: int) -> int:
    """Return how many visitors there are at most, given the store's number."""
    return visitors if visitors <= EXACT else int(visitors * (1 + ERROR)) + 1


def bounds(visitors: Numbers) -> tuple[Numbers, Numbers]:
    """Return ``at_least`` and ``at_most`` of many numbers."""
    estimated = visitors > EXACT
    if not estimated.any():
        return visitors, visitors
    low = np.where(estimated, (visitors * (1 - ERROR)).astype(np.int64), visitors)
    high = np.where(estimated, (visitors * (1 + ERROR)).astype(np.int64) + 1, visitors)
    return low, high


def fold(
    dimension: str, root: Single, singles: Iterable[Single], k: int, withheld: Collection[str] = frozenset()
) -> Fold:
    """Decide which values of one dimension are released.

    root: all facts of the kind (its value and path don't matter). singles: each value and each ancestor once.
    withheld: values that are folded however many visitors they have.
    """
    by_value = {single.value: single for single in singles if single.value}
    children: dict[str, list[Single]] = {}
    for single in by_value.values():
        parent = single.path[0] if single.path and single.path[0] in by_value else ROOT
        children.setdefault(parent, []).append(single)
    folding = _Folding(k, children, withheld)
    folding.settle(ROOT, Single(RARE, (), root.count, root.visitors), -1)
    return Fold(
        dimension,
        tuple(folding.nodes),
        tuple(folding.buckets),
        folding.own,
        folding.parent,
        folding.within,
        measures(folding.buckets),
    )


class _Folding:
    """One walk down one tree. Trees are at most a few levels deep, so recursion is safe."""

    def __init__(self, k: int, children: dict[str, list[Single]], withheld: Collection[str]) -> None:
        self.k, self.children, self.withheld = k, children, withheld
        self.nodes: list[Bucket] = []
        self.buckets: list[Bucket] = []
        self.own: dict[str, int] = {}
        self.parent: dict[str, int] = {}
        self.within: dict[str, int] = {}

    def settle(self, key: str, node: Single, above: int) -> None:
        """Decide on the children of a released node; ``above`` is the bucket of its parent's remainder."""
        released, folded = self._divide(node, self.children.get(key, []))
        count = node.count - sum(child.count for child in released)
        bucket = -1
        if not released and key != ROOT:
            bucket = self._add(node, Part.LEAF, node.count, node.visitors)
            self.within[key] = bucket
        else:
            if key != ROOT:
                self.nodes.append(Bucket(node.value, Part.NODE, node.path, node.count, node.visitors))
            if count > 0:
                visitors = _remainder(node, released, folded)
                # The root as a whole is its kind's total, which may be told; how few visitors it has may not.
                bucket = self._add(node, Part.REST, count, visitors if visitors >= self.k else 0)
                for child in folded:
                    self.within[child.value] = bucket
        self.own[key] = bucket
        self.parent[key] = above
        for child in released:
            self.settle(child.value, child, bucket)

    def _divide(self, node: Single, children: list[Single]) -> tuple[list[Single], list[Single]]:
        if not children:
            return [], []
        ranked = sorted(children, key=attrgetter("visitors", "count", "value"), reverse=True)
        released: list[Single] = []
        folded: list[Single] = []
        for child in ranked:
            told = at_least(child.visitors) >= self.k and child.value not in self.withheld
            (released if told else folded).append(child)
        while released and sum(child.count for child in released) < node.count:
            if _remainder(node, released, folded) >= self.k:
                break
            folded.append(released.pop())
        return released, folded

    def _add(self, node: Single, part: Part, count: int, visitors: int) -> int:
        self.buckets.append(Bucket(node.value, part, node.path, count, visitors))
        return len(self.buckets) - 1


def _remainder(node: Single, released: Sequence[Single], folded: Sequence[Single]) -> int:
    """Return how many visitors at least the node's remainder has."""
    largest = max((at_least(child.visitors) for child in folded), default=0)
    left = at_least(node.visitors) - sum(at_most(child.visitors) for child in released) if released else node.visitors
    return max(largest, left)
