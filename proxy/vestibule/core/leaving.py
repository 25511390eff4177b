"""What kinds that lie within another kind leave of it: views less the beacons of those who agreed are the views of
everybody else.

Nobody is told that, but anyone can subtract. So it is folded as if it were a kind of its own (``folding``), by what is
told of both: a value of which too few are left, or whose being told leaves too few elsewhere, is not told of the kind
within.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from vestibule.core.folding import ROOT, Flags, Fold, Numbers, Part, Single, at_least, at_most, bounds, fold
from vestibule.core.pairing import Counted, Table, Values, hold_back, table


class Told(NamedTuple):
    """A number that is told. visitors, most: how many there are at least, and at the most."""

    count: int  # type: ignore[assignment]  # hides the method of tuples
    visitors: int
    most: int


class Left(NamedTuple):
    """What is left of one dimension: all of it, its values that have anything left, and what could be told of these."""

    root: Single
    singles: tuple[Single, ...]
    folded: Fold

    @property
    def told(self) -> set[str]:
        return telling(self.folded)


class Taken(NamedTuple):
    """What is taken away from a dimension: from all of it, and from its values."""

    root: Told
    of: Mapping[str, Told]


def telling(found: Fold) -> set[str]:
    """The values that a fold tells, remainders left out."""
    return {bucket.value for bucket in (*found.nodes, *found.buckets) if bucket.part is not Part.REST}


def taken(singles: Iterable[Single], root: Single) -> Taken:
    """All that a kind counted of a dimension, whether it is told or not."""
    return Taken(_told(root), {single.value: _told(single) for single in singles})


def leave(
    dimension: str, root: Single, singles: Iterable[Single], away: Iterable[Taken], told: Collection[str], k: int
) -> Left:
    """What is left of a kind's ``root`` and ``singles`` when others are taken ``away``; of ``told`` all numbers that it
    takes are known. (Where facts of one visit are counted several times over, less than nothing may be left of the
    whole: then it says nothing of its values, and these say nothing of each other.)"""
    away = tuple(away)
    remaining = tuple(
        single
        for each in singles
        if (single := _less(each, [taken.of[each.value] for taken in away if each.value in taken.of])).count > 0
    )
    whole = _less(root, [taken.root for taken in away])
    withheld = {single.value for single in remaining if single.value not in told}
    return Left(whole, remaining, fold(dimension, whole, remaining, k, withheld))


def given_away(left: Left, told: Collection[str], k: int) -> set[str]:
    """Of the values that are told those that must not be."""
    if _few(left.root, k):
        # That nothing is left of one value says that it is left of the others.
        return set(told)
    return {single.value for single in left.singles if single.value in told} - left.told


def small(left: Left, k: int) -> set[str]:
    """The values of which some are left, but too few; all of them, where of the whole too few are left."""
    few = _few(left.root, k)
    return {single.value for single in left.singles if few or at_least(single.visitors) < k}


def held_pairs(
    lefts: tuple[Left, Left],
    whole: tuple[tuple[Single, ...], tuple[Single, ...], Counted],
    within: tuple[tuple[Single, ...], tuple[Single, ...], Counted],
    k: int,
) -> Held:
    """Which pairs of what is left cannot be told. whole, within: a kind's singles of both dimensions, and its pairs."""
    values = [Values(left.singles) for left in lefts]
    counted = _less_pairs(lefts, whole, within)
    a, b = ((left.folded, each.buckets(left.folded)) for left, each in zip(lefts, values, strict=True))
    root = lefts[0].root
    found = table(a, b, root, (values[0].margin(first=True), values[1].margin(first=False), counted))
    hold_back(found, k)
    return Held((lefts[0].folded, lefts[1].folded), found)


class Held:
    """Pairs of buckets of two folds, and which of them are held back."""

    def __init__(self, folds: tuple[Fold, Fold], found: Table) -> None:
        self._folds = folds
        self._width = max(len(folds[1].buckets), 1)
        self._keys = (found.rows * self._width + found.columns)[found.held]

    def among(self, folds: tuple[Fold, Fold], found: Table) -> Flags:
        """Of the pairs of other folds those that lie in pairs that are held back here."""
        rows, columns = (_places(mine, theirs) for mine, theirs in zip(self._folds, folds, strict=True))
        row, column = rows[found.rows], columns[found.columns]
        return (row >= 0) & (column >= 0) & np.isin(row * self._width + column, self._keys)


def _places(mine: Fold, theirs: Fold) -> Numbers:
    """For each bucket of another fold the one of mine that it lies in; -1 for none."""

    def place(chain: Iterator[str]) -> int:
        return next((mine.own[value] for value in chain if value in mine.own), mine.own[ROOT])

    return np.array([place(iter((each.value, *each.path))) for each in theirs.buckets], dtype=np.int64)


def _less_pairs(
    lefts: tuple[Left, Left],
    whole: tuple[tuple[Single, ...], tuple[Single, ...], Counted],
    within: tuple[tuple[Single, ...], tuple[Single, ...], Counted],
) -> Counted:
    """The pairs that are left, of values that could be told: of others not all pairs are known."""
    width = len(lefts[1].singles) + 1
    keys: list[Numbers] = []
    counts: list[Numbers] = []
    visitors: list[Numbers] = []
    for sign, (first, second, pairs) in ((1, whole), (-1, within)):
        a, b = _numbers(lefts[0], first)[pairs.a], _numbers(lefts[1], second)[pairs.b]
        known = (a >= 0) & (b >= 0)
        low, high = bounds(pairs.visitors[known])
        keys.append(a[known] * width + b[known])
        counts.append(sign * pairs.counts[known])
        visitors.append(low if sign > 0 else -high)
    unique, places = np.unique(np.concatenate(keys), return_inverse=True)
    count, visitor = np.zeros((2, len(unique)), dtype=np.int64)
    np.add.at(count, places, np.concatenate(counts))
    np.add.at(visitor, places, np.concatenate(visitors))
    there = count > 0
    return Counted(unique[there] // width, unique[there] % width, count[there], np.maximum(visitor[there], 0))


def _numbers(left: Left, singles: tuple[Single, ...]) -> Numbers:
    """For each value's number in a kind its number in what is left, -1 where that could not be told; the root is 0."""
    told = left.told
    known = {single.value: number for number, single in enumerate(left.singles, 1) if single.value in told}
    return np.array([0, *(known.get(single.value, -1) for single in singles)], dtype=np.int64)


def _few(single: Single, k: int) -> bool:
    return single.count > 0 and at_least(single.visitors) < k


def _told(single: Single) -> Told:
    return Told(single.count, at_least(single.visitors), at_most(single.visitors))


def _less(single: Single, taken: Iterable[Told]) -> Single:
    count, visitors = single.count, at_least(single.visitors)
    for each in taken:
        count, visitors = count - each.count, visitors - each.most
    return Single(single.value, single.path, max(count, 0), max(visitors, 0))
