"""What kinds that lie within another kind leave of it: views less the beacons of those who agreed are the views of
everybody else.

Nobody is told that, but anyone can subtract. So it is looked at as if it were a kind of its own, by what is told of
both: a value of which too few are left, or whose being told leaves too few elsewhere, is not told of the kind within.
The same is done with what is left beside what is told of each of the other kinds within, and of each of their values
(a view may be blocked for one service and not for another, and is counted with each that it is blocked for).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vestibule.core.folding import OWN, ROOT, WITHIN, Bucket, Fold, fold, tellable
from vestibule.core.kind import Kind, Known, Names, paired
from vestibule.core.pairing import Counted, hold_back, margins, table
from vestibule.core.values import Amounts, Flags, Numbers, Values, at_most


class Leaving:
    """A kind that lies within another, the whole, beside kinds of which is settled what they tell."""

    def __init__(self, kind: Kind, whole: Kind, beside: Sequence[Kind], k: int) -> None:
        """No two dimensions that the kind shares with the whole are those of a kind beside it, too."""
        self._kind, self._whole, self._k = kind, whole, k
        self._shared = sorted(kind.values.keys() & whole.values.keys())
        self._own = {dimension: _Seen(kind, whole, dimension) for dimension in self._shared}
        self._beside = {dimension: list(self._shown(beside, dimension)) for dimension in self._shared}
        self._looked: dict[str, bytes] = {}
        self._outer_ones: dict[Names, Numbers] = {}

    def give_up(self) -> set[str]:
        """Withhold values of which the kinds leave only a few visitors; return the dimensions that changed."""
        changed: set[str] = set()
        while fresh := {name for dimension in self._shared for name in self._give_up(dimension)}:
            changed |= fresh
        return changed

    def hold_back(self, names: Names) -> bool:
        """Hold back pairs of which the kinds leave only a few visitors: as pairs, or as values where only one of the
        dimensions is the whole's, too. Return whether any was not held back yet; then it is to be asked again."""
        shared = [name for name in names if name in self._own]
        if not shared or not self._kind.tells(names):
            return False
        held = self._kind.tables[names].held
        before = held.copy()
        if len(shared) == len(names):
            self._hold_back_pairs(names)
        else:
            (inner,) = set(names) - set(shared)
            self._hold_back_values(shared[0], inner)
            for outer in self._shared:
                if outer != shared[0]:
                    self._hold_back_sums(shared[0], inner, outer)
        return bool((held & ~before).any())

    # - by values

    def _give_up(self, dimension: str) -> Iterator[str]:
        seen = self._own[dimension]
        own = seen.known(self._kind.counted(dimension))
        told = own.told & self._whole.folds[dimension].kept
        within = list(self._wholly_within(dimension))
        looked = told.tobytes() + b"".join(flags.tobytes() for _, flags in within)
        if self._looked.get(dimension) == looked:
            return
        self._looked[dimension] = looked
        bad = self._given_away(dimension, own, told)
        few = self._few(self._left(dimension, own))
        if self._kind.withhold(dimension, seen.own(bad)):
            yield dimension
        for inner, values in self._inside_of(dimension, seen.own(few)):
            if self._kind.withhold(inner, values):
                yield inner
        for inner, told_inside in within:
            if self._kind.withhold(inner, self._summing_up(dimension, inner, told_inside)):
                yield inner

    def _given_away(self, dimension: str, own: Known, told: Flags) -> Flags:
        """Of the values that are told those of which too few are left, or that leave too few elsewhere: alone, and
        with what is told of the kinds beside."""
        bad = self._bad(dimension, self._left(dimension, own), told)
        for away in self._beside[dimension]:
            both = told & away.told
            if both[1:].any():
                bad |= self._bad(dimension, self._left(dimension, own, away), both)
        return bad

    def _left(self, dimension: str, *away: Known) -> Amounts:
        """What is left of the whole's values. (Where facts of one visit are counted several times over, less than
        nothing may be left: what is too much is not looked at, see docs/counting.md.)"""
        values = self._whole.values[dimension]
        amounts = values.amounts
        counts = np.maximum(amounts.counts - sum(each.counts for each in away), 0)
        lowest = values.lifted(np.maximum(amounts.lowest - sum(each.most for each in away), 0))
        return Amounts(counts, lowest, lowest, np.minimum(counts, amounts.most))

    def _bad(self, dimension: str, left: Amounts, told: Flags) -> Flags:
        if self._few(left)[ROOT]:
            # That nothing is left of one value says that it is left of the others.
            bad = told.copy()
            bad[ROOT] = False
            return bad
        values = self._whole.values[dimension]
        bad = told & (left.counts > 0) & ~tellable(values, left, told, self._k)
        # Also what leaves nothing, but could be summed up.
        return told & values.below(bad)

    def _few(self, left: Amounts) -> Flags:
        """The values of which some are left, but too few; all of them, where of the whole too few are left."""
        few = (left.counts > 0) & (left.lowest < self._k)
        return few if not few[ROOT] else left.counts > 0

    def _inside_of(self, outer: str, values: Flags) -> Iterator[tuple[str, Flags]]:
        """For each dimension that the whole has not what lies wholly in one of some values."""
        values[ROOT] = False
        for inner in sorted(self._kind.values.keys() - self._own.keys()) if values.any() else ():
            pairs = self._kind.pairs[paired(outer, inner)]
            of_outer, of_inner = (pairs.a, pairs.b) if outer < inner else (pairs.b, pairs.a)
            wholly = values[of_outer] & (pairs.counts == self._kind.values[inner].amounts.counts[of_inner])
            found = np.zeros(len(self._kind.values[inner]), dtype=bool)
            found[of_inner[wholly]] = True
            yield inner, found

    def _outer(self, outer: str, inner: str) -> Numbers:
        """For each value of a dimension that the whole has not the whole's number of the value of another one that it
        lies wholly in, the nearest to a leaf; -1 for none. All pairs are there."""
        if (outer, inner) in self._outer_ones:
            return self._outer_ones[outer, inner]
        pairs = self._kind.pairs[paired(outer, inner)]
        of_outer, of_inner = (pairs.a, pairs.b) if outer < inner else (pairs.b, pairs.a)
        wholly = pairs.counts == self._kind.values[inner].amounts.counts[of_inner]
        found = np.full(len(self._kind.values[inner]), -1, dtype=np.int64)
        # Ancestors have at least as many facts: those with the fewest come last, and stay.
        order = np.flatnonzero(wholly)
        order = order[np.argsort(-self._kind.values[outer].amounts.counts[of_outer[order]], kind="stable")]
        found[of_inner[order]] = self._own[outer].of_own[of_outer[order]]
        self._outer_ones[outer, inner] = found
        return found

    def _wholly_within(self, outer: str) -> Iterator[tuple[str, Flags]]:
        """For each dimension that the whole has not what is told of it and lies wholly in values of another one."""
        for inner in sorted(self._kind.values.keys() - self._own.keys()):
            leaves = self._kind.folds[inner].kept & (self._outer(outer, inner) > 0)
            leaves[ROOT] = False
            yield inner, leaves

    def _summing_up(self, outer: str, inner: str, told: Flags) -> Flags:
        """Of inner values that are told, and lie wholly in outer ones of which the kind does not tell, those that must
        not be told: where all of them together leave of an outer value, which the whole tells, only a few visitors.
        They go one after the other, the smallest of each outer value first."""
        whole, own = self._whole, self._own[outer].known(self._kind.counted(outer))
        values, amounts = self._kind.values[inner], self._kind.values[inner].amounts
        # What lies below something else that is told is told with it.
        told = told & ~told[values.parents]
        of = self._outer(outer, inner)[told]
        size = len(whole.values[outer])
        counts, most = (
            np.bincount(of, weights=each[told], minlength=size).astype(np.int64)
            for each in (amounts.counts, amounts.most)
        )
        there = whole.values[outer].amounts
        lowest = there.lowest - np.minimum(most, own.most)
        few = whole.folds[outer].kept & ~own.told & (counts > 0) & (there.counts > counts) & (lowest < self._k)
        return _smallest(np.flatnonzero(told), of, few, amounts.visitors, amounts.counts, len(values))

    def _shown(self, beside: Sequence[Kind], dimension: str) -> Iterator[Known]:
        """What is told of a dimension by other kinds, by itself and beside each value of a dimension that this kind
        does not share with the whole."""
        for kind in beside:
            if dimension in kind.values:
                seen = _Seen(kind, self._whole, dimension)
                yield seen.known(kind.counted(dimension))
                for names in kind.tables:
                    others = set(names) - {dimension}
                    if len(others) == 1 and not others & set(self._shared) and kind.tells(names):
                        for _, known in kind.beside(dimension, *others):
                            yield seen.known(known)

    # - by pairs

    def _hold_back_values(self, shared: str, other: str) -> None:
        """Look at the values of the shared dimension beside each bucket of the other one."""
        found, seen = self._kind.between(shared, other), self._own[shared]
        assert found is not None
        for column, known in self._kind.beside(shared, other):
            mine = seen.known(known)
            bad = seen.own(self._given_away(shared, mine, mine.told & self._whole.folds[shared].kept))
            if bad.any():
                rows = self._kind.folds[shared].of[OWN, bad]
                found.held[(found.columns == column) & np.isin(found.rows, rows)] = True

    def _hold_back_sums(self, third: str, inner: str, outer: str) -> None:
        """Hold back pairs of a shared dimension and inner values that lie wholly in outer ones: where all of them
        together leave, of a pair that the whole tells of the shared value and the outer one, only a few visitors."""
        theirs, mine = self._whole.between(third, outer), self._kind.between(third, inner)
        assert mine is not None
        if theirs is None or not self._whole.tells(paired(third, outer)):
            return
        width = len(self._whole.values[outer])
        row, column = (_of_leaves(self._whole.folds[name]) for name in (third, outer))
        pair = row[theirs.rows] * width + column[theirs.columns]
        pair[(row[theirs.rows] < 0) | (column[theirs.columns] < 0) | theirs.held] = -1
        order = np.argsort(pair, kind="stable")
        own_row, own_column = (_of_leaves(self._kind.folds[name]) for name in (third, inner))
        of_row = np.append(self._own[third].of_own, -1)[own_row][mine.rows]
        of_column = np.append(self._outer(outer, inner), -1)[own_column][mine.columns]
        wanted = np.where((of_row > 0) & (of_column > 0), of_row * width + of_column, -2)
        place = order[np.minimum(np.searchsorted(pair[order], wanted), len(order) - 1)] if len(order) else wanted
        known = np.flatnonzero(pair[place] == wanted) if len(order) else order
        while len(told := known[~mine.held[known]]):
            counts, most = (
                np.bincount(place[told], weights=each[told], minlength=len(pair)).astype(np.int64)
                for each in (mine.counts, mine.most)
            )
            few = (counts > 0) & (theirs.counts > counts) & (theirs.visitors - most < self._k)
            if not few[place[told]].any():
                return
            mine.held[_smallest(told, place[told], few, mine.visitors, mine.counts, len(mine.held))] = True

    def _hold_back_pairs(self, names: Names) -> None:
        """Hold back what could not be told of the pairs that are left."""
        if names not in self._whole.pairs:
            return
        lefts: list[Amounts] = []
        folds: list[Fold] = []
        for dimension in names:
            own = self._own[dimension].known(self._kind.counted(dimension))
            lefts.append(self._left(dimension, own))
            told = own.told & self._whole.folds[dimension].kept
            folds.append(fold(dimension, self._whole.values[dimension], lefts[-1], self._k, told))
        pairs = self._left_pairs(names, folds)
        left = table(folds[0], folds[1], (*margins(lefts[0], lefts[1]), pairs), exact=False)
        hold_back(left, self._k)
        width = max(len(folds[1].buckets), 1)
        hidden = (left.rows * width + left.columns)[left.held]
        mine = self._kind.tables[names]
        row, column = (
            self._places(each, self._kind.folds[name].buckets)[cells]
            for name, each, cells in zip(names, folds, (mine.rows, mine.columns), strict=True)
        )
        mine.held[(row >= 0) & (column >= 0) & np.isin(row * width + column, hidden)] = True

    def _left_pairs(self, names: Names, folds: Sequence[Fold]) -> Counted:
        """The pairs that are left, of values that could be told: of others not all pairs are known."""
        width = len(folds[1].kept)
        keys: list[Numbers] = []
        counts: list[Numbers] = []
        visitors: list[Numbers] = []
        theirs, mine = self._whole.pairs[names], self._kind.pairs[names]
        of_a, of_b = (self._own[name].of_own for name in names)
        for sign, a, b, pairs in ((1, theirs.a, theirs.b, theirs), (-1, of_a[mine.a], of_b[mine.b], mine)):
            known = (a >= 0) & (b >= 0) & folds[0].kept[a] & folds[1].kept[b]
            keys.append(a[known] * width + b[known])
            counts.append(sign * pairs.counts[known])
            visitors.append(pairs.lowest[known] if sign > 0 else -pairs.most[known])
        key, places = np.unique(np.concatenate(keys), return_inverse=True)
        count, visitor = np.zeros((2, len(key)), dtype=np.int64)
        np.add.at(count, places, np.concatenate(counts))
        np.add.at(visitor, places, np.concatenate(visitors))
        some = count > 0
        return Counted(key[some] // width, key[some] % width, count[some], np.maximum(visitor[some], 0))

    def _places(self, folded: Fold, buckets: Sequence[Bucket]) -> Numbers:
        """For each bucket of the kind that one of what is left that it lies in; -1 for none."""
        numbers = self._whole.values[folded.dimension].numbers

        def place(bucket: Bucket) -> int:
            chain = (numbers.get(value, ROOT) for value in (bucket.value, *bucket.path))
            return int(folded.of[OWN, next((number for number in chain if number and folded.kept[number]), ROOT)])

        return np.array([place(bucket) for bucket in buckets], dtype=np.int64)


def _smallest(places: Numbers, of: Numbers, few: Flags, visitors: Numbers, counts: Numbers, size: int) -> Flags:
    """Of some places, each of which belongs to something, the smallest of each that is few."""
    chosen = few[of]
    places, of = places[chosen], of[chosen]
    order = np.lexsort((places, counts[places], visitors[places], of))
    _, first = np.unique(of[order], return_index=True)
    found = np.zeros(size, dtype=bool)
    found[places[order[first]]] = True
    return found


def _of_leaves(folded: Fold) -> Numbers:
    """For each bucket the number of the value that it is, -1 where it is a remainder."""
    found = np.full(len(folded.buckets), -1, dtype=np.int64)
    leaves = np.flatnonzero(folded.of[WITHIN] == folded.of[OWN])
    leaves = leaves[folded.of[OWN, leaves] >= 0]
    found[folded.of[OWN, leaves]] = leaves
    return found


class _Seen:
    """A kind's dimension by the numbers of the whole's values. of_own: for each of its own numbers the whole's, -1 for
    none."""

    def __init__(self, kind: Kind, whole: Kind, dimension: str) -> None:
        values, self._own = whole.values[dimension], kind.values[dimension]
        self._numbers = _numbers(values, self._own)
        self.of_own = _numbers(self._own, values)
        # Of values that it leaves out, for they have few visitors, it has no number; but they have some.
        few = {single.value: single for single in kind.singles[dimension] if single.value not in self._own.numbers}
        there = [few.get(single.value) for single in values.singles]
        self._few = (
            np.array([single.count if single else 0 for single in there], dtype=np.int64),
            np.array([at_most(single.visitors) if single else 0 for single in there], dtype=np.int64),
        )

    def known(self, found: Known) -> Known:
        there = self._numbers >= 0
        counts, most = (
            np.where(there, each[self._numbers], few) for each, few in zip(found[1:], self._few, strict=True)
        )
        return Known(there & found.told[self._numbers], counts, most)

    def own(self, chosen: Flags) -> Flags:
        """Some of the whole's values by the kind's own numbers; what it has not is left out."""
        return (self.of_own >= 0) & chosen[self.of_own]


def _numbers(values: Values, others: Values) -> Numbers:
    """For each of some values the number that it has among others, -1 for none."""
    found = [others.numbers.get(single.value, -1) for single in values.singles[1:]]
    return np.array([ROOT, *found], dtype=np.int64)
