"""Which numbers of a day may be told: singles with their trees, and pairs; none stands for fewer than k visitors.

Four rules, each in a module of its own. *Singles* (``folding``): a value with fewer than ``k`` visitors is folded into
its ancestor, and remainders are never small. *Pairs* (``pairing``): two-way tables over the folded values are told so
far as they cannot be solved. *Across dimensions* (``nesting``): what lies wholly within something else must not give
away the rest of it, neither alone nor beside a third dimension. *Across kinds* (``leaving``): what lies within another
kind must not give away the rest of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from vestibule.core.folding import (
    ERROR,
    EXACT,
    RARE,
    Bucket,
    Flags,
    Fold,
    Numbers,
    Part,
    Single,
    at_least,
    at_most,
    fold,
)
from vestibule.core.leaving import Left, Taken, Told, given_away, held_pairs, leave, small, taken, telling
from vestibule.core.nesting import (
    Candidates,
    Nest,
    Sets,
    crowded,
    expose,
    gaps,
    give_up,
    levels,
    limiting,
    nests,
    ordered,
)
from vestibule.core.pairing import Counted, Pairs, Table, Values, hold_back, table

__all__ = [
    "ERROR",
    "EXACT",
    "RARE",
    "WITHIN",
    "Bucket",
    "KindSingles",
    "Numbers",
    "Pairs",
    "Part",
    "Release",
    "Row",
    "Single",
    "at_least",
    "at_most",
    "fold",
]

Names = tuple[str, str]

Inside = dict[Names, list[Nest]]
"""For an inner and an outer dimension what lies within what."""

WITHIN: Mapping[str, str] = MappingProxyType({"client": "view", "blocked": "view"})
"""Kinds that part the views of another kind in two: who agreed (beacons), and who did not (what was held back)."""


class Row(NamedTuple):
    """A number that may be told. ``b`` and ``b_value`` are empty for a single; a pair is of two buckets.

    (A tuple, since a day has a hundred thousand of them.)
    """

    kind: str
    a: str
    a_value: str
    b: str
    b_value: str
    part: Part
    path: tuple[str, ...]
    count: int  # type: ignore[assignment]  # hides the method of tuples, which nobody needs here
    visitors: int


@dataclass(frozen=True, slots=True)
class KindSingles:
    """All singles of a kind: the kind as a whole, and by dimension its values and their ancestors."""

    kind: str
    root: Single
    dimensions: dict[str, tuple[Single, ...]]


class Release:
    """The release of one kind of facts on one day: ``add`` all pairs, two dimensions at a time, then read ``rows``.

    k: the smallest number of visitors that a number may stand for. rounded: for a day that is not over yet, numbers go
    down to multiples of ``k``, so that two looks at the same day don't differ by single visitors.
    """

    def __init__(
        self,
        singles: KindSingles,
        k: int,
        rounded: bool = False,
        whole: Release | None = None,
        beside: Sequence[Release] = (),
    ) -> None:
        """whole: the release of the kind that this one lies ``WITHIN``; beside: those of other kinds within it. Their
        rows have been read."""
        if k < 1:
            raise ValueError("k must be at least 1")
        self._singles, self._k, self._step = singles, k, k if rounded else 1
        self._whole, self._beside = whole, tuple(beside)
        self._values = {dimension: Values(found) for dimension, found in singles.dimensions.items()}
        self._pairs: dict[Names, Counted] = {}
        self._withheld: dict[str, set[str]] = {dimension: set() for dimension in singles.dimensions}
        self._folds: dict[str, tuple[Fold, Numbers]] = {}
        self._levels: dict[str, list[Sets]] = {}
        self._tables: dict[Names, Table] = {}
        self._seen: dict[Names, tuple[list[Nest], list[Candidates]]] = {}
        self._told: dict[str, dict[str, Told]] = {}
        self._telling: dict[str, frozenset[str]] = {}
        self._by_value: dict[str, dict[str, Single]] = {}
        self._shown: dict[str, tuple[Taken, ...]] = {}
        self._all: dict[str, Taken] = {}
        for dimension in self._values:
            self._fold(dimension)

    def add(self, a: str, b: str, counted: Pairs) -> None:
        """Take the pairs of the dimensions ``a`` and ``b``, of which ``a`` comes first in the alphabet."""
        first, second = self._values.get(a), self._values.get(b)
        if first is not None and second is not None:
            of_a, of_b = counted.a + 1, counted.b + 1
            # Where one of the values has fewer than k visitors, neither it is told nor any pair of it.
            kept = first.known(self._k)[of_a] & second.known(self._k)[of_b]
            self._pairs[a, b] = Counted(of_a[kept], of_b[kept], counted.counts[kept], counted.visitors[kept])
            # At once, for whoever adds may be waiting for the next pairs; what is folded later changes few tables.
            self._look_at(a, b)

    def rows(self) -> Iterator[Row]:
        """What may be told: first the kind as a whole, whose dimension and value are empty; then values, then pairs."""
        self._settle_pairs(self._settle_singles())
        yield from self._single_rows()
        for names, found in self._tables.items():
            if self._tells(names):
                yield from self._pair_rows(names, found)

    # - deciding

    def _settle_singles(self) -> Inside:
        """Fold all dimensions, until none gives away what another folds; return what lies within what then."""
        for a, b in combinations(sorted(self._values), 2):
            if (a, b) not in self._pairs:
                # That no two of their values are told together tells as much: each lies in what remains of the other.
                self.add(a, b, Pairs(*np.zeros((4, 0), dtype=np.int64)))
        while changed := self._give_up() | self._spare_the_rest_of_the_whole():
            for dimension in changed:
                self._fold(dimension)
            for names in self._pairs:
                if changed & set(names):
                    self._look_at(*names)
        return {names: self._seen[names][0] for names in ordered(self._values) if names in self._seen}

    def _give_up(self) -> set[str]:
        """Withhold what must be given up, as was found last; return the dimensions that changed."""
        wanting = (candidates for _, found in self._seen.values() for candidates in found)
        changed: set[str] = set()
        for dimension, value in map(give_up, wanting):
            self._withheld[dimension].add(value)
            changed.add(dimension)
        return changed

    def _look_at(self, a: str, b: str) -> None:
        """Make the table of two dimensions; find out what of either lies within the other, and what may be given up
        where that tells too much."""
        self._tables[a, b] = self._table((a, b))
        for inner, outer in ((a, b), (b, a)):
            between = self._between(inner, outer)
            assert between is not None
            within: list[Nest] = []
            wanting: list[Candidates] = []
            folds, total = (self._folds[inner][0], self._folds[outer][0]), self._singles.root.count
            for nest, bad in nests(between, folds[0], self._levels[outer], total, self._k):
                within.append(nest)
                wanting += (crowded(nest, place, *folds) for place in bad.tolist())
            wanting += gaps(between, *folds, total, self._k)
            self._seen[inner, outer] = within, wanting

    def _settle_pairs(self, inside: Inside) -> None:
        """Hold back pairs until no table can be solved, and none gives away what another holds back."""
        changed = {names for names in self._tables if self._tells(names)}
        for names in changed:
            self._spare_the_rest_of_pairs(names)
        before: dict[Names, Flags] = {}
        while changed:
            # At first all there is; then what was held back since.
            fresh: dict[Names, Flags] | None = {} if before else None
            for names in changed:
                found = self._tables[names]
                hold_back(found, self._k)
                if fresh is not None:
                    fresh[names] = found.held & ~before[names]
                before[names] = found.held.copy()
            changed = set()
            for names, nested in inside.items():
                for third in self._values if nested else ():
                    if third not in names:
                        changed |= self._hide(third, names, nested, fresh)

    def _hide(self, third: str, names: Names, found: Iterable[Nest], fresh: Mapping[Names, Flags] | None) -> set[Names]:
        """Hold back what two tables tell together; return those in which something is held back now. fresh: by table
        the pairs by which it differs from what was looked at before; what they have no part in is as it was. None: all
        that there is was not looked at yet."""
        pairs = [_names(third, name) for name in names]
        changed: set[Names] = set()
        if fresh is not None and not fresh.keys() & set(pairs):
            return changed
        inner, outer = (self._between(third, name) for name in names)
        if inner is None or outer is None or not all(map(self._tells, pairs)):
            return changed
        if fresh is not None:
            of_inner, of_outer = (
                one.among(fresh.get(pair), len(self._folds[name][0].buckets))
                for name, one, pair in zip(names, (inner, outer), pairs, strict=True)
            )
            found = filter(None, (each.within_reach(of_inner, of_outer) for each in found))
        for nest in found:
            for pair, one, joining in zip(pairs, (inner, outer), expose(inner, outer, nest, self._k), strict=True):
                if len(joining):
                    one.held[joining] = True
                    changed.add(pair)
            if len(joining := limiting(inner, outer, nest, self._k)):
                outer.held[joining] = True
                changed.add(pairs[1])
        return changed

    def _fold(self, dimension: str) -> None:
        singles, withheld = self._singles.dimensions[dimension], self._withheld[dimension]
        found = fold(dimension, self._singles.root, singles, self._k, withheld)
        self._folds[dimension] = found, self._values[dimension].buckets(found)
        self._telling[dimension] = frozenset(telling(found))
        self._levels[dimension] = levels(found)

    def _table(self, names: Names) -> Table:
        a, b = names
        parts = (self._values[a].margin(first=True), self._values[b].margin(first=False), self._pairs[names])
        made = table(self._folds[a], self._folds[b], self._singles.root, parts)
        if not self._tells(names):
            made.held[:] = True
        return made

    def _between(self, rows: str, columns: str) -> Table | None:
        """The table of two dimensions, whichever way round it is kept."""
        found = self._tables.get(_names(rows, columns))
        return found if found is None or rows < columns else found.turned()

    def _tells(self, names: Names) -> bool:
        """Whether both dimensions have anything to tell; else there is no table."""
        return all(self._folds[name][0].tells for name in names)

    def _spare_the_rest_of_the_whole(self) -> set[str]:
        """Withhold values of which the other kinds leave only a few visitors; return the dimensions that changed."""
        changed: set[str] = set()
        for dimension in self._shared:
            left = self._left(dimension)
            bad = given_away(left, self._telling[dimension], self._k)
            own = self._taken(dimension)
            for kind in self._beside:
                for away in kind.shown(dimension, self._shared):
                    bad |= self._given_away(dimension, (own, away))
            if bad:
                self._withheld[dimension] |= bad
                changed.add(dimension)
            for inner, values in self._inside_of(dimension, small(left, self._k)):
                if fresh := values - self._withheld[inner]:
                    self._withheld[inner] |= fresh
                    changed.add(inner)
        return changed

    @property
    def _shared(self) -> list[str]:
        """The dimensions that the whole has too."""
        return [name for name in self._folds if self._whole is not None and self._whole.knows(name)]

    def _left(self, dimension: str) -> Left:
        """What is left of the whole when this kind is taken away."""
        assert self._whole is not None
        told = self._telling[dimension] & self._whole._telling[dimension]
        theirs = self._whole._singles
        return leave(dimension, theirs.root, theirs.dimensions[dimension], (self._taken(dimension),), told, self._k)

    def _taken(self, dimension: str) -> Taken:
        if dimension not in self._all:
            self._all[dimension] = taken(self._singles.dimensions[dimension], self._singles.root)
        return self._all[dimension]

    def _given_away(self, dimension: str, away: Sequence[Taken], told: Collection[str] | None = None) -> set[str]:
        """Of the values that all that is taken away tells those of which that leaves too few. told: what this kind
        tells, if not all that its fold does."""
        assert self._whole is not None
        whole = self._whole
        of_all = min((each.of.keys() for each in away), key=len) & whole._telling[dimension]
        of_all &= self._telling[dimension] if told is None else set(told)
        of_all = of_all.intersection(*(each.of for each in away))
        if dimension not in whole._by_value:
            whole._by_value[dimension] = {single.value: single for single in whole._singles.dimensions[dimension]}
        singles = [whole._by_value[dimension][value] for value in sorted(of_all)]
        return given_away(leave(dimension, whole._singles.root, singles, away, of_all, self._k), of_all, self._k)

    def _inside_of(self, outer: str, values: Collection[str]) -> Iterator[tuple[str, set[str]]]:
        """For each dimension that the whole has not what lies wholly in one of some values."""
        number = {single.value: place for place, single in enumerate(self._singles.dimensions[outer], 1)}
        chosen = np.array([number[value] for value in values if value in number], dtype=np.int64)
        for inner in sorted(set(self._folds) - set(self._shared)) if len(chosen) else ():
            pairs = self._pairs[_names(outer, inner)]
            of_outer, of_inner = (pairs.a, pairs.b) if outer < inner else (pairs.b, pairs.a)
            singles = self._singles.dimensions[inner]
            counts = np.array([0, *(single.count for single in singles)], dtype=np.int64)
            wholly = np.isin(of_outer, chosen) & (of_inner > 0) & (pairs.counts == counts[of_inner])
            yield inner, {singles[place - 1].value for place in of_inner[wholly].tolist()}

    def _spare_the_rest_of_pairs(self, names: Names) -> None:
        """Hold back pairs of which the other kinds leave only a few visitors: as pairs, or as values where only one of
        the dimensions is the other kind's too."""
        if self._whole is None or not self._tells(names):
            return
        found = self._tables[names]
        buckets = [self._folds[name][0].buckets for name in names]
        for place in np.flatnonzero(~found.held).tolist():
            pair = (buckets[0][found.rows[place]], buckets[1][found.columns[place]])
            # Of a remainder the other kind has one that is made of other values.
            values = {name: told.value for name, told in zip(names, pair, strict=True) if told.part is not Part.REST}
            if self._gives_away(values, int(found.counts[place]), int(found.most[place])):
                found.held[place] = True
        shared = [name for name in names if name in self._shared]
        if len(shared) == len(names):
            self._spare_the_rest_of_both(names)
        elif shared:
            self._spare_the_rest_of_one(names, shared[0])

    def _spare_the_rest_of_both(self, names: Names) -> None:
        a, b = names
        assert self._whole is not None
        if names not in self._whole._pairs:
            return
        whole, mine = (
            (kind._singles.dimensions[a], kind._singles.dimensions[b], kind._pairs[names])
            for kind in (self._whole, self)
        )
        held = held_pairs((self._left(a), self._left(b)), whole, mine, self._k)
        found = self._tables[names]
        found.held[held.among((self._folds[a][0], self._folds[b][0]), found)] = True

    def _spare_the_rest_of_one(self, names: Names, shared: str) -> None:
        """Look at each column of values of a shared dimension, beside a value of the other one."""
        found = self._tables[names] if shared == names[0] else self._tables[names].turned()
        own = self._folds[shared][0].own
        beside = [away for kind in self._beside for away in kind.shown(shared, self._shared)]
        for column, away in self._columns(names, shared):
            bad = self._given_away(shared, (away,), away.of)
            for other in beside:
                bad |= self._given_away(shared, (away, other), away.of)
            found.held[
                (found.columns == column) & np.isin(found.rows, [own[value] for value in bad if value in own])
            ] = True

    def shown(self, dimension: str, shared: Collection[str]) -> tuple[Taken, ...]:
        """What is told of a dimension by itself, and beside each value of a dimension that is none of the shared; its
        rows have been read."""
        if dimension not in self._shown:
            self._shown[dimension] = tuple(self._showing(dimension, shared)) if dimension in self._folds else ()
        return self._shown[dimension]

    def _showing(self, dimension: str, shared: Collection[str]) -> Iterator[Taken]:
        self._told_single(dimension, "")
        root = self._singles.root
        yield Taken(Told(root.count, at_least(root.visitors), at_most(root.visitors)), self._told[dimension])
        for names in self._tables:
            if dimension in names and self._tells(names) and not set(names) - {dimension} & set(shared):
                for _, away in self._columns(names, dimension):
                    yield away

    def _columns(self, names: Names, dimension: str) -> Iterator[tuple[int, Taken]]:
        """What can be known of a dimension's values beside each bucket of another one, and the bucket's number: what is
        told of them, and the sums of what is told of all that is below a value."""
        (other,) = set(names) - {dimension}
        found = self._tables[names] if dimension == names[0] else self._tables[names].turned()
        buckets = self._folds[dimension][0].buckets
        told: dict[int, dict[str, Told]] = {}
        hidden: dict[int, set[str]] = {}
        cells = zip(found.rows.tolist(), found.columns.tolist(), found.held.tolist(), strict=True)
        for place, (row, column, held) in enumerate(cells):
            bucket = buckets[row]
            number = Told(int(found.counts[place]), int(found.visitors[place]), int(found.most[place]))
            for value in (bucket.value, *bucket.path):
                if held:
                    hidden.setdefault(column, set()).add(value)
                else:
                    of = told.setdefault(column, {})
                    before = of.get(value, Told(0, 0, 0))
                    most = max(before.visitors, number.visitors)
                    of[value] = Told(before.count + number.count, most, before.most + number.most)
        values = self._telling[dimension]
        for column, of in told.items():
            beside = self._folds[other][0].buckets[column]
            known = {value: of[value] for value in values & of.keys() - hidden.get(column, set())}
            yield column, Taken(Told(beside.count, at_least(beside.visitors), beside.at_most), known)

    def _gives_away(self, values: Mapping[str, str], count: int, most: int) -> bool:
        """Whether a number tells, with what is told of the whole at the same place and of the kinds beside, of some
        but too few visitors: views of a page, less those of whoever agreed and those of whoever did not."""
        assert self._whole is not None
        place = {name: value for name, value in values.items() if self._whole.knows(name)}
        whole = self._whole.told(place)
        if whole is None:
            return False
        # With each kind that is beside, and without it.
        left = [(whole.count - count, whole.visitors - most)]
        for told in (kind.told(place) for kind in self._beside):
            if told is not None:
                left += [(facts - told.count, visitors - told.most) for facts, visitors in left]
        return any(facts > 0 and visitors < self._k for facts, visitors in left)

    def knows(self, dimension: str) -> bool:
        """Whether the kind has such a dimension."""
        return dimension in self._folds

    def told(self, place: Mapping[str, str]) -> Told | None:
        """What is told of a value, or of a pair of values, by dimension; None for nothing."""
        if len(place) == 1:
            ((dimension, value),) = place.items()
            return self._told_single(dimension, value)
        if len(place) == 2:
            a, b = sorted(place)
            return self._told_pair((a, b), (place[a], place[b]))
        return None

    def _told_single(self, dimension: str, value: str) -> Told | None:
        if dimension not in self._told:
            buckets = (
                (*self._folds[dimension][0].nodes, *self._folds[dimension][0].buckets)
                if dimension in self._folds
                else ()
            )
            self._told[dimension] = {
                bucket.value: Told(bucket.count, at_least(bucket.visitors), bucket.at_most)
                for bucket in buckets
                if bucket.part is not Part.REST
            }
        return self._told[dimension].get(value)

    def _told_pair(self, names: Names, values: tuple[str, str]) -> Told | None:
        if names not in self._tables or not self._tells(names):
            return None
        rows, columns = (self._folds[name][0].own.get(value, -1) for name, value in zip(names, values, strict=True))
        found = self._tables[names]
        (place,) = np.nonzero((found.rows == rows) & (found.columns == columns) & ~found.held)
        if not len(place):
            return None
        return Told(int(found.counts[place[0]]), int(found.visitors[place[0]]), int(found.most[place[0]]))

    # - telling

    def _single_rows(self) -> Iterator[Row]:
        kind, root, step = self._singles.kind, self._singles.root, self._step

        def row(dimension: str, value: str, part: Part, path: tuple[str, ...], count: int, visitors: int) -> Row:
            return Row(kind, dimension, value, "", "", part, path, count // step * step, visitors // step * step)

        known = at_least(root.visitors) >= self._k
        yield row("", "", Part.NODE, (), root.count, root.visitors if known else 0)
        for dimension, (found, _) in self._folds.items():
            for told in (*found.nodes, *found.buckets):
                yield row(dimension, told.value, told.part, told.path, told.count, told.visitors)

    def _pair_rows(self, names: Names, found: Table) -> Iterator[Row]:
        a, b = names
        first, second = ([bucket.value for bucket in self._folds[name][0].buckets] for name in names)
        kind, told, step = self._singles.kind, ~found.held, self._step
        columns = (found.rows, found.columns, found.counts // step * step, found.visitors // step * step)
        for row, column, count, visitors in zip(*(each[told].tolist() for each in columns), strict=True):
            yield Row(kind, a, first[row], b, second[column], Part.LEAF, (), count, visitors)


def _names(one: str, other: str) -> Names:
    return (one, other) if one < other else (other, one)
