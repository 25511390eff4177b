"""Which numbers of a day may be told: singles with their trees, and pairs; none stands for fewer than k visitors.

Four rules, each in a module of its own. *Singles* (``folding``): a value with fewer than ``k`` visitors is folded into
its ancestor, and remainders are never small. *Pairs* (``pairing``): two-way tables over the folded values are told so
far as they cannot be solved. *Across dimensions* (``nesting``): what lies wholly within something else must not give
away the rest of it, neither alone nor beside a third dimension. *Across kinds* (``leaving``): what lies within another
kind must not give away the rest of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from vestibule.core.folding import RARE, Bucket, Part
from vestibule.core.kind import Kind, KindSingles, Names, paired
from vestibule.core.leaving import Leaving
from vestibule.core.nesting import Candidates, Nest, crowded, expose, gaps, give_up, limiting, nests, ordered
from vestibule.core.pairing import Pairs, Table, hold_back
from vestibule.core.values import ERROR, EXACT, Flags, Numbers, Single, at_least, at_most

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
]

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
        self.kind = kind = Kind(singles, k)
        self._k, self._step = k, k if rounded else 1
        self._leaving = Leaving(kind, whole.kind, [each.kind for each in beside], k) if whole else None
        self._seen: dict[Names, tuple[list[Nest], list[Candidates]]] = {}

    def add(self, a: str, b: str, counted: Pairs) -> None:
        """Take the pairs of the dimensions ``a`` and ``b``, of which ``a`` comes first in the alphabet."""
        if a in self.kind.values and b in self.kind.values:
            self.kind.add(a, b, counted)
            # At once, for whoever adds may be waiting for the next pairs; what is folded later changes few tables.
            self._look_at((a, b))

    def rows(self) -> Iterator[Row]:
        """What may be told: first the kind as a whole, whose dimension and value are empty; then values, then pairs."""
        self._settle_pairs(self._settle_singles())
        yield from self._single_rows()
        for names, found in self.kind.tables.items():
            if self.kind.tells(names):
                yield from self._pair_rows(names, found)

    def inside(self) -> Inside:
        """What lies within what, by what is folded so far."""
        return {names: self._seen[names][0] for names in ordered(self.kind.values) if names in self._seen}

    # - deciding

    def _settle_singles(self) -> Inside:
        """Fold all dimensions, until none gives away what another folds; return what lies within what then."""
        for names in self.kind.fill():
            # That no two of their values are told together tells as much: each lies in what remains of the other.
            self._look_at(names)
        while changed := self._give_up() | (self._leaving.give_up() if self._leaving else set()):
            for names in self.kind.pairs:
                if changed & set(names):
                    self._look_at(names)
        return self.inside()

    def _give_up(self) -> set[str]:
        """Withhold what must be given up, as was found last; return the dimensions that changed."""
        wanting = (candidates for _, found in self._seen.values() for candidates in found)
        given: dict[str, set[str]] = {}
        for dimension, value in map(give_up, wanting):
            given.setdefault(dimension, set()).add(value)
        for dimension, values in given.items():
            self.kind.withhold(dimension, self.kind.values[dimension].chosen(values))
        return set(given)

    def _look_at(self, names: Names) -> None:
        """Make the table of two dimensions; find out what of either lies within the other, and what may be given up
        where that tells too much."""
        made = self.kind.lay(names)
        total = self.kind.root.count
        for (inner, outer), between in ((names, made), (names[::-1], made.turned())):
            within: list[Nest] = []
            wanting: list[Candidates] = []
            folds = self.kind.folds[inner], self.kind.folds[outer]
            for nest, bad in nests(between, folds[0], self.kind.levels[outer], total, self._k):
                within.append(nest)
                wanting += (crowded(nest, place, *folds) for place in bad.tolist())
            wanting += gaps(between, *folds, total, self._k)
            self._seen[inner, outer] = within, wanting

    def _settle_pairs(self, inside: Inside) -> None:
        """Hold back pairs until no table can be solved, and none gives away what another holds back."""
        changed = {names for names in self.kind.tables if self.kind.tells(names)}
        before: dict[Names, Flags] = {}
        while changed:
            # At first all there is; then what was held back since.
            fresh: dict[Names, Flags] | None = {} if before else None
            for names in changed:
                found = self.kind.tables[names]
                hold_back(found, self._k)
                while self._leaving and self._leaving.hold_back(names):
                    hold_back(found, self._k)
                if fresh is not None:
                    fresh[names] = found.held & ~before[names]
                before[names] = found.held.copy()
            changed = set()
            for names, nested in inside.items():
                for third in self.kind.values if nested else ():
                    if third not in names:
                        changed |= self._hide(third, names, nested, fresh)

    def _hide(self, third: str, names: Names, found: Iterable[Nest], fresh: Mapping[Names, Flags] | None) -> set[Names]:
        """Hold back what two tables tell together; return those in which something is held back now. fresh: by table
        the pairs by which it differs from what was looked at before; what they have no part in is as it was. None: all
        that there is was not looked at yet."""
        pairs = [paired(third, name) for name in names]
        changed: set[Names] = set()
        if fresh is not None and not fresh.keys() & set(pairs):
            return changed
        inner, outer = (self.kind.between(third, name) for name in names)
        if inner is None or outer is None or not all(map(self.kind.tells, pairs)):
            return changed
        if fresh is not None:
            of_inner, of_outer = (
                one.among(fresh.get(pair), len(self.kind.folds[name].buckets))
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

    # - telling

    def _single_rows(self) -> Iterator[Row]:
        kind, root, step = self.kind.name, self.kind.root, self._step

        def row(dimension: str, value: str, part: Part, path: tuple[str, ...], count: int, visitors: int) -> Row:
            return Row(kind, dimension, value, "", "", part, path, count // step * step, visitors // step * step)

        known = at_least(root.visitors) >= self._k
        yield row("", "", Part.NODE, (), root.count, root.visitors if known else 0)
        for dimension, found in self.kind.folds.items():
            for told in (*found.nodes, *found.buckets):
                yield row(dimension, told.value, told.part, told.path, told.count, told.visitors)

    def _pair_rows(self, names: Names, found: Table) -> Iterator[Row]:
        a, b = names
        first, second = ([bucket.value for bucket in self.kind.folds[name].buckets] for name in names)
        kind, told, step = self.kind.name, ~found.held, self._step
        columns = (found.rows, found.columns, found.counts // step * step, found.visitors // step * step)
        for row, column, count, visitors in zip(*(each[told].tolist() for each in columns), strict=True):
            yield Row(kind, a, first[row], b, second[column], Part.LEAF, (), count, visitors)
