"""Which numbers of a day may be told: singles with their trees, and pairs; none stands for fewer than k visitors.

*Singles*. The values of a dimension are a tree whose root is all facts of the kind. From the root down, a value with
fewer than ``k`` visitors is folded into its parent. What is left of a parent without its released children, its
*remainder*, can be worked out by anyone, so it too must stand for ``k`` visitors, or be empty: while it does not, it
takes the smallest released child with it (and all below that child). Each released value without released children,
and each remainder, is a *bucket*; every fact is in exactly one bucket of each dimension.

*Pairs*. For two dimensions the buckets make a two-way table whose margins are known. A pair with fewer than ``k``
visitors is held back. In each row and column those held back are none, or at least two that sum to ``k`` visitors;
otherwise the smallest released pair joins them, until nothing changes. That alone lets small tables be solved: so more
join until what the margins allow for each pair held back contains 0 or is at least 2 ``k`` wide. Numbers that are
released are exact.

Hashes of different cells cannot be united, so the visitors of a bucket that is a remainder are not known. In their
place stands a lower bound: the largest folded child's, or the parent's less the released children's, whichever is more.
Above ``EXACT`` visitors the counts are estimates, and the bound allows for their error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

RARE = "(rare)"
"""The name of the root's remainder: what is too rare to be told in any way."""

EXACT = 4096
"""Up to here the store counts visitors exactly."""

ERROR = 0.03
"""How far an estimate above ``EXACT`` may be off, relatively: about ten standard deviations."""

Numbers = NDArray[np.int64]


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
class Row:
    """A number that may be told. ``b`` and ``b_value`` are empty for a single; a pair is of two buckets."""

    kind: str
    a: str
    a_value: str
    b: str
    b_value: str
    part: Part
    path: tuple[str, ...]
    count: int
    visitors: int


@dataclass(frozen=True, slots=True)
class Bucket:
    value: str
    part: Part
    path: tuple[str, ...]
    count: int
    visitors: int


@dataclass(frozen=True, slots=True)
class Fold:
    """The fold map of one dimension, and its buckets. Bucket numbers are places in ``buckets``, -1 is none.

    own: for each released value its bucket. parent: for each released value the bucket of its parent's remainder, which
    it is not part of. within: for each value that is wholly inside one bucket, and largest there, that bucket.
    """

    dimension: str
    nodes: tuple[Bucket, ...]
    buckets: tuple[Bucket, ...]
    own: dict[str, int]
    parent: dict[str, int]
    within: dict[str, int]


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was counted of pairs of two dimensions' values: columns of one length, every value's ancestors included."""

    a_values: Sequence[str]
    b_values: Sequence[str]
    counts: Numbers
    visitors: Numbers


_ROOT = ""
"""The root's key in a fold map; no value of a dimension is empty."""


def at_least(visitors: int) -> int:
    """Return how many visitors there are at least, given the store's number."""
    return visitors if visitors <= EXACT else int(visitors * (1 - ERROR))


def at_most(visitors: int) -> int:
    """Return how many visitors there are at most, given the store's number."""
    return visitors if visitors <= EXACT else int(visitors * (1 + ERROR)) + 1


def fold(dimension: str, root: Single, singles: Iterable[Single], k: int) -> Fold:
    """Decide which values of one dimension are released.

    root: all facts of the kind (its value and path don't matter). singles: each value and each ancestor once.
    """
    by_value = {single.value: single for single in singles if single.value}
    children: dict[str, list[Single]] = {}
    for single in by_value.values():
        parent = single.path[0] if single.path and single.path[0] in by_value else _ROOT
        children.setdefault(parent, []).append(single)
    folding = _Folding(dimension, k, children)
    folding.settle(_ROOT, Single(RARE, (), root.count, root.visitors), -1)
    return Fold(dimension, tuple(folding.nodes), tuple(folding.buckets), folding.own, folding.parent, folding.within)


class _Folding:
    """One walk down one tree. Trees are at most a few levels deep, so recursion is safe."""

    def __init__(self, dimension: str, k: int, children: dict[str, list[Single]]) -> None:
        self.dimension, self.k, self.children = dimension, k, children
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
        if not released and key != _ROOT:
            bucket = self._add(node, Part.LEAF, node.count, node.visitors)
            self.within[key] = bucket
        else:
            if key != _ROOT:
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
        ranked = sorted(children, key=lambda child: (child.visitors, child.count, child.value), reverse=True)
        released = [child for child in ranked if at_least(child.visitors) >= self.k]
        folded = ranked[len(released) :]
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


def cross(kind: str, a: Fold, b: Fold, root: Single, singles: tuple[Pairs, Pairs], pairs: Pairs, k: int) -> list[Row]:
    """Decide which pairs of two dimensions' buckets are released.

    singles: the values of ``a`` against the root of ``b`` (its ``b_values`` are empty texts), and the other way round.
    """
    table = _table(a, b, root, (*singles, pairs))
    held = _hold_back(table, k)
    rows = []
    for place in np.flatnonzero(~held).tolist():
        first, second = a.buckets[table.rows[place]], b.buckets[table.columns[place]]
        rows.append(
            Row(
                kind, a.dimension, first.value, b.dimension, second.value, Part.LEAF, (),
                int(table.counts[place]), int(table.visitors[place]),
            )
        )  # fmt: skip
    return rows


@dataclass(frozen=True, slots=True)
class _Table:
    """The pairs of buckets that have facts, as columns."""

    rows: Numbers
    columns: Numbers
    counts: Numbers
    visitors: Numbers


def _table(a: Fold, b: Fold, root: Single, parts: Sequence[Pairs]) -> _Table:
    """Work out each pair of buckets from the pairs of values.

    A remainder is its node less the released children, so a pair of values counts, with alternating signs, towards the
    buckets of its values and those of their parents. For visitors only what is certain is used: a pair of values that
    lies wholly within the pair of buckets, and the node's own pair less all that was released below it.
    """
    size = len(b.buckets)
    keys: list[Numbers] = []
    counts: list[Numbers] = []
    bounds: list[Numbers] = []
    inside_keys: list[Numbers] = []
    inside: list[Numbers] = []
    for part in parts:
        low, high = _bounds(part.visitors)
        of_a, of_b = _places(a, part.a_values), _places(b, part.b_values)
        own_a, own_b = of_a[0], of_b[0]
        up_a, up_b = of_a[1], of_b[1]
        for first, second, sign, bound in (
            (own_a, own_b, 1, low),
            (up_a, own_b, -1, -high),
            (own_a, up_b, -1, -high),
            (up_a, up_b, 1, np.zeros_like(low)),
        ):
            known = (first >= 0) & (second >= 0)
            keys.append(first[known] * size + second[known])
            counts.append(sign * part.counts[known])
            bounds.append(bound[known])
        in_a, in_b = of_a[2], of_b[2]
        known = (in_a >= 0) & (in_b >= 0)
        inside_keys.append(in_a[known] * size + in_b[known])
        inside.append(low[known])
    if a.own[_ROOT] >= 0 and b.own[_ROOT] >= 0:
        keys.append(np.array([a.own[_ROOT] * size + b.own[_ROOT]], dtype=np.int64))
        counts.append(np.array([root.count], dtype=np.int64))
        bounds.append(np.array([at_least(root.visitors)], dtype=np.int64))
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    count = np.zeros(len(key), dtype=np.int64)
    np.add.at(count, place, np.concatenate(counts))
    visitors = np.zeros(len(key), dtype=np.int64)
    np.add.at(visitors, place, np.concatenate(bounds))
    wholly = np.concatenate(inside_keys)
    found = np.searchsorted(key, wholly)
    found[found == len(key)] = 0
    known = key[found] == wholly if len(key) else np.zeros(0, dtype=bool)
    np.maximum.at(visitors, found[known], np.concatenate(inside)[known])
    some = count > 0
    key = key[some]
    return _Table(key // size, key % size, count[some], np.clip(visitors[some], 0, count[some]))


def _hold_back(table: _Table, k: int) -> NDArray[np.bool_]:
    """Return which pairs are held back: the small ones, and those that must keep them company."""
    held = table.visitors < k
    order = np.lexsort((np.arange(len(held)), table.counts, table.visitors))
    share = 1
    while True:
        _join_lines(table, held, order, k)
        exposed = _exposed(table, held, k)
        if not len(exposed):
            return held
        released = order[~held[order]]
        if not len(released):
            return held
        # What shares a row or a column with an exposed pair hides it best; the more rounds, the more of it at a time.
        near = np.isin(table.rows[released], table.rows[exposed])
        near |= np.isin(table.columns[released], table.columns[exposed])
        held[(released[near] if near.any() else released)[:share]] = True
        share = min(share * 2, len(held))


def _join_lines(table: _Table, held: NDArray[np.bool_], order: Numbers, k: int) -> None:
    """See to it that each row and column holds back nothing, or two pairs at least that sum to ``k`` visitors."""
    while True:
        joining: list[Numbers] = []
        for lines in (table.rows, table.columns):
            number = np.bincount(lines, weights=held)
            visitors = np.bincount(lines, weights=held * table.visitors)
            lacking = (number > 0) & ((number < 2) | (visitors < k))
            candidates = order[lacking[lines[order]] & ~held[order]]
            _, smallest = np.unique(lines[candidates], return_index=True)
            joining.append(candidates[smallest])
        chosen = np.concatenate(joining)
        if not len(chosen):
            return
        held[chosen] = True


def _exposed(table: _Table, held: NDArray[np.bool_], k: int) -> Numbers:
    """Return the held-back pairs that the margins and the released pairs still pin down.

    A pair x of row i and column j may as well be smaller by d: give d to another pair of row i and to another of column
    j, and take it from the pair where these two's lines cross. All four must not be known, and the last must have d to
    give; a pair that nobody has is not known either, for it is not released. So if the crossing pairs together have x,
    x may be nothing at all; if they have 2 k, it may be anything in a range that wide. A pair with less is exposed.
    """
    rows, columns, counts = table.rows, table.columns, table.counts
    hidden, told = np.flatnonzero(held), np.flatnonzero(~held)
    if not len(hidden) or not len(told):
        return np.zeros(0, dtype=np.int64)
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    in_row = np.bincount(rows[hidden], weights=counts[hidden], minlength=height)
    in_column = np.bincount(columns[hidden], weights=counts[hidden], minlength=width)
    needed = np.minimum(counts, 2 * k)
    # At least this much is at the crossings: everything hidden, less the lines that are told where they cross.
    cut_row = np.bincount(rows[told], weights=in_column[columns[told]], minlength=height)
    cut_column = np.bincount(columns[told], weights=in_row[rows[told]], minlength=width)
    crossing = (
        in_row.sum() - (cut_row + in_row)[rows[hidden]] - (cut_column + in_column)[columns[hidden]] + counts[hidden]
    )
    doubtful = hidden[crossing < needed[hidden]]
    found: list[Numbers] = []
    for row in np.unique(rows[doubtful]).tolist():
        known = np.zeros(width, dtype=bool)
        known[columns[told[rows[told] == row]]] = True
        free = hidden[~known[columns[hidden]] & (rows[hidden] != row)]
        of_row = np.bincount(rows[free], weights=counts[free], minlength=height)
        cut = np.bincount(columns[told], weights=of_row[rows[told]], minlength=width)
        here = doubtful[rows[doubtful] == row]
        at = columns[here]
        exact = of_row.sum() - cut[at] - (in_column[at] - counts[here])
        found.append(here[exact < needed[here]])
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _bounds(visitors: Numbers) -> tuple[Numbers, Numbers]:
    estimated = visitors > EXACT
    low = np.where(estimated, (visitors * (1 - ERROR)).astype(np.int64), visitors)
    high = np.where(estimated, (visitors * (1 + ERROR)).astype(np.int64) + 1, visitors)
    return low, high


def _places(folded: Fold, values: Sequence[str]) -> Numbers:
    """Return for each value the bucket that it is, the one that it is taken from, and the one that it is within."""
    known = {value: place for place, value in enumerate(dict.fromkeys((*folded.own, *folded.within)))}
    table = np.full((3, len(known) + 1), -1, dtype=np.int64)
    for row, buckets in enumerate((folded.own, folded.parent, folded.within)):
        for value, bucket in buckets.items():
            table[row, known[value]] = bucket
    none = len(known)
    find = known.get
    return table[:, np.fromiter((find(value, none) for value in values), dtype=np.int64, count=len(values))]


@dataclass(frozen=True, slots=True)
class KindSingles:
    """All singles of a kind: the kind as a whole, and by dimension its values and their ancestors."""

    kind: str
    root: Single
    dimensions: dict[str, tuple[Single, ...]]


class Release:
    """The release of one kind of facts on one day: the singles first, then the pairs, two dimensions at a time.

    k: the smallest number of visitors that a number may stand for. rounded: for a day that is not over yet, numbers go
    down to multiples of ``k``, so that two looks at the same day don't differ by single visitors.
    """

    def __init__(self, singles: KindSingles, k: int, rounded: bool = False) -> None:
        if k < 1:
            raise ValueError("k must be at least 1")
        self._singles, self._k, self._step = singles, k, k if rounded else 1
        self.folds = {
            dimension: fold(dimension, singles.root, values, k) for dimension, values in singles.dimensions.items()
        }

    def singles(self) -> Iterable[Row]:
        """The released values, the remainders, and first the kind as a whole, whose dimension and value are empty."""
        kind, root = self._singles.kind, self._singles.root
        known = at_least(root.visitors) >= self._k
        yield self._round(Row(kind, "", "", "", "", Part.NODE, (), root.count, root.visitors if known else 0))
        for dimension, found in self.folds.items():
            for told in (*found.nodes, *found.buckets):
                yield self._round(
                    Row(kind, dimension, told.value, "", "", told.part, told.path, told.count, told.visitors)
                )

    def pairs(self, a: str, b: str, counted: Pairs) -> Iterable[Row]:
        """The released pairs of the dimensions ``a`` and ``b``, of which ``a`` comes first in the alphabet."""
        first, second = self.folds.get(a), self.folds.get(b)
        if first is None or second is None or not any(first.own[key] >= 0 for key in first.own if key != _ROOT):
            return
        if not any(second.own[key] >= 0 for key in second.own if key != _ROOT):
            return
        margins = (self._margin(a, first=True), self._margin(b, first=False))
        for row in cross(self._singles.kind, first, second, self._singles.root, margins, counted, self._k):
            yield self._round(row)

    def _margin(self, dimension: str, *, first: bool) -> Pairs:
        singles = self._singles.dimensions[dimension]
        values, roots = [single.value for single in singles], [_ROOT] * len(singles)
        counts = np.array([single.count for single in singles], dtype=np.int64)
        visitors = np.array([single.visitors for single in singles], dtype=np.int64)
        return Pairs(values if first else roots, roots if first else values, counts, visitors)

    def _round(self, row: Row) -> Row:
        if self._step == 1:
            return row
        step = self._step
        return Row(
            row.kind, row.a, row.a_value, row.b, row.b_value, row.part, row.path,
            row.count // step * step, row.visitors // step * step,
        )  # fmt: skip
