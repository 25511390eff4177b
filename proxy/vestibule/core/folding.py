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

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vestibule.core.values import Amounts, Flags, Numbers, Values, at_most, bounds

RARE = "(rare)"
"""The name of the root's remainder: what is too rare to be told in any way."""

ROOT = 0
"""The root's number."""

OWN, PARENT, WITHIN = range(3)
"""The rows of ``Fold.of``."""


class Part(StrEnum):
    """What a released number is of.

    LEAF: a value, and no value below it is released. NODE: a value with all that is below it. REST: what is left of a
    NODE without its released children. Leaves and rests together are all facts, each once.
    """

    LEAF = "leaf"
    NODE = "node"
    REST = "rest"


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

    kept: the values that are released; the root is. of: for each value, by number, three buckets: the one that it is if
    it is released (of a node its remainder), the remainder that it is not part of then, and the one that it is wholly
    within, and largest there. measures: of the buckets.
    """

    dimension: str
    nodes: tuple[Bucket, ...]
    buckets: tuple[Bucket, ...]
    kept: Flags
    of: Numbers
    measures: Measures

    @property
    def tells(self) -> bool:
        """Whether there is anything but a remainder."""
        return any(bucket.part is Part.LEAF for bucket in self.buckets)


def tellable(values: Values, amounts: Amounts, told: Flags, k: int) -> Flags:
    """Of values that would be told those that may be; the root is among them.

    Not those with fewer than ``k`` visitors. And where what remains of a value (or of the root) beside the nearest
    values that are told below it would be some, but too few, the smallest of these joins it. Either takes with it all
    that is below: from that it could be summed up.
    """
    told = told & (amounts.counts > 0)
    few = told & (amounts.lowest < k)
    few[ROOT] = False
    kept = told & ~values.below(few)
    kept[ROOT] = True
    above = values.above(kept)
    counts, lowest = _remainders(values, amounts, kept, above)
    lacking = (counts > 0) & (lowest < k)
    kept[ROOT] = False
    children = np.flatnonzero(kept & lacking[above])
    if len(children):
        # One is enough: it has k visitors itself.
        of = (values.ranks, amounts.counts, amounts.visitors, above)
        order = children[np.lexsort([column[children] for column in of])]
        _, first = np.unique(above[order], return_index=True)
        joining = np.zeros(len(values), dtype=bool)
        joining[order[first]] = True
        kept &= ~values.below(joining)
    kept[ROOT] = True
    return kept


def _remainders(values: Values, amounts: Amounts, kept: Flags, above: Numbers) -> tuple[Numbers, Numbers]:
    """For each value facts and least visitors of what remains of it beside the nearest kept values below it."""
    # Of what is not kept itself, but has kept values below it, only a part remains.
    children, folded = np.flatnonzero(kept)[1:], np.flatnonzero(values.lifted(kept.astype(np.int64)) == 0)

    def without(totals: Numbers, taken: Numbers) -> Numbers:
        return totals - np.bincount(above[children], weights=taken[children], minlength=len(kept)).astype(np.int64)

    lowest = without(amounts.lowest, amounts.most)
    np.maximum.at(lowest, above[folded], amounts.lowest[folded])
    return without(amounts.counts, amounts.counts), lowest


def fold(dimension: str, values: Values, amounts: Amounts, k: int, told: Flags | None = None) -> Fold:
    """Decide which values of one dimension are released. told: those that may be, if not all."""
    # What is folded takes with it all that is below.
    folded = (amounts.lowest < k) | (amounts.counts <= 0)
    if told is not None:
        folded |= ~told
    folded[ROOT] = False
    kept = tellable(values, amounts, ~values.below(folded), k)
    above = values.above(kept)
    counts, lowest = _remainders(values, amounts, kept, above)
    building = _Building(values, amounts, (counts, np.where(lowest >= k, lowest, 0)))
    ranked = np.flatnonzero(kept)[1:]
    ranked = ranked[np.lexsort((values.ranks[ranked], amounts.counts[ranked], amounts.visitors[ranked]))][::-1]
    for number in ranked.tolist():
        building.children.setdefault(int(above[number]), []).append(number)
    building.settle(ROOT, -1)
    # A folded value lies in the remainder of its parent; a leaf has none.
    hidden = np.flatnonzero(~kept & kept[values.parents])
    rest = building.of[OWN, values.parents[hidden]]
    inside = building.of[WITHIN, values.parents[hidden]] < 0
    building.of[WITHIN, hidden[inside]] = rest[inside]
    buckets = tuple(building.buckets)
    return Fold(dimension, tuple(building.nodes), buckets, kept, building.of, measures(buckets))


class _Building:
    """One walk down one tree. Trees are at most a few levels deep, so recursion is safe."""

    def __init__(self, values: Values, amounts: Amounts, remainders: tuple[Numbers, Numbers]) -> None:
        self.children: dict[int, list[int]] = {}
        self.nodes: list[Bucket] = []
        self.buckets: list[Bucket] = []
        self.of: Numbers = np.full((3, len(values)), -1, dtype=np.int64)
        self._singles = values.singles
        self._amounts = amounts.counts.tolist(), amounts.visitors.tolist()
        self._rests = remainders[0].tolist(), remainders[1].tolist()

    def settle(self, number: int, above: int) -> None:
        """Make the buckets of a released value; ``above`` is the bucket of its parent's remainder."""
        single = self._singles[number]
        value, path = (single.value, single.path) if number else (RARE, ())
        whole = (path, self._amounts[0][number], self._amounts[1][number])
        children = self.children.get(number, [])
        bucket = -1
        if number and not children:
            bucket = self._add(Bucket(value, Part.LEAF, *whole))
            self.of[WITHIN, number] = bucket
        else:
            if number:
                self.nodes.append(Bucket(value, Part.NODE, *whole))
            if self._rests[0][number] > 0:
                # The root as a whole is its kind's total, which may be told; how few visitors it has may not.
                bucket = self._add(Bucket(value, Part.REST, path, self._rests[0][number], self._rests[1][number]))
        self.of[OWN, number] = bucket
        self.of[PARENT, number] = above
        for child in children:
            self.settle(child, bucket)

    def _add(self, bucket: Bucket) -> int:
        self.buckets.append(bucket)
        return len(self.buckets) - 1
