"""A day as a test sees it: its facts with the true visitors, what is released, and what anyone could make of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vestibule.core.cells import Accumulator, Partial
from vestibule.core.hits import Fact
from vestibule.core.keys import SALT_BYTES, day_keys, visitor_key
from vestibule.core.release import RARE, WITHIN, KindSingles, Pairs, Part, Release, Row, Single

SITE = "relaso.com"
KEYS = day_keys("a secret", bytes(SALT_BYTES), SITE, "2026-11-22")

Numbers = NDArray[np.int64]


def partial_of(facts: Sequence[Fact], day: str = "2026-11-22") -> Partial:
    cells = Accumulator()
    keys = day_keys("a secret", bytes(SALT_BYTES), SITE, day)
    for fact in facts:
        cells.add(SITE, day, keys, fact.kind, fact.time, fact.values, visitor_key(keys, fact.visitor))
    return cells.take()


def release_of(partial: Partial, kind: str, k: int, rounded: bool = False) -> list[Row]:
    """What is released of one kind, by the cells as the store would sum them up."""
    whole, kinds = WITHIN.get(kind), {node.kind for node in partial.nodes}
    if whole not in kinds:
        return list(releasing(partial, kind, k, rounded).rows())
    settled: list[Release] = []
    for name in (whole, *sorted(name for name in WITHIN if WITHIN[name] == whole and name in kinds)):
        first = settled[0] if settled else None
        settled.append(releasing(partial, name, k, rounded, first, settled[1:]))
        rows = list(settled[-1].rows())
        if name == kind:
            return rows
    raise AssertionError


def releasing(
    partial: Partial,
    kind: str,
    k: int,
    rounded: bool = False,
    whole: Release | None = None,
    beside: Sequence[Release] = (),
) -> Release:
    """The release of one kind, to which all pairs were added."""
    singles: dict[str, list[Single]] = {}
    pairs: dict[tuple[str, str], list[tuple[str, str, int, int]]] = {}
    visitors = np.diff(partial.ends, prepend=np.uint64(0)).tolist()
    for place, (a, b, count) in enumerate(
        zip(partial.a.tolist(), partial.b.tolist(), partial.counts.tolist(), strict=True)
    ):
        first = partial.nodes[a]
        if first.kind != kind:
            continue
        if b >= len(partial.nodes):
            singles.setdefault(first.dimension, []).append(Single(first.value, first.path, count, visitors[place]))
        else:
            second = partial.nodes[b]
            found = pairs.setdefault((first.dimension, second.dimension), [])
            found.append((first.value, second.value, count, visitors[place]))
    (root,) = singles.pop("")
    dimensions = {name: tuple(found) for name, found in singles.items()}
    release = Release(KindSingles(kind, root, dimensions), k, rounded, whole, beside)
    places = {name: {single.value: place for place, single in enumerate(found)} for name, found in singles.items()}

    def of(name: str, values: Sequence[str]) -> NDArray[np.int64]:
        """The places of values among the singles of their dimension."""
        return np.array([places[name][value] for value in values], dtype=np.int64)

    for (a, b), counted in sorted(pairs.items()):
        a_values, b_values, counts, people = zip(*counted, strict=True)
        release.add(a, b, Pairs(of(a, a_values), of(b, b_values), np.array(counts), np.array(people)))
    return release


@dataclass(frozen=True)
class Dimension:
    """One dimension as released. of: for each fact the bucket that it is in, told by names alone."""

    buckets: tuple[Row, ...]
    nodes: tuple[Row, ...]
    of: Numbers

    @cached_property
    def sets(self) -> list[tuple[Row, Numbers]]:
        """Every released number with the buckets that it consists of."""
        found = [(row, np.array([place])) for place, row in enumerate(self.buckets)]
        for node in self.nodes:
            inside = [
                place
                for place, row in enumerate(self.buckets)
                if node.a_value in row.path or (row.part is Part.REST and row.a_value == node.a_value)
            ]
            found.append((node, np.array(inside, dtype=np.int64)))
        return found


class Known:
    """A released day of one kind, and the truth beside it."""

    def __init__(self, facts: Sequence[Fact], kind: str, k: int, rows: Sequence[Row] | None = None) -> None:
        self.k, self.kind = k, kind
        self.facts = [fact for fact in facts if fact.kind == kind]
        self.rows = release_of(partial_of(facts), kind, k) if rows is None else list(rows)
        numbers: dict[str, int] = {}
        self.visitor = np.array([numbers.setdefault(fact.visitor, len(numbers)) for fact in self.facts], dtype=np.int64)
        self.dimensions = {
            name: self._dimension(name) for name in sorted({row.a for row in self.rows if row.a and not row.b})
        }

    def _dimension(self, name: str) -> Dimension:
        own = [row for row in self.rows if row.a == name and not row.b]
        buckets = tuple(row for row in own if row.part is not Part.NODE)
        nodes = tuple(row for row in own if row.part is Part.NODE)
        rest = {row.a_value: place for place, row in enumerate(buckets)}
        told = {row.a_value for row in own if row.part is not Part.REST}

        def bucket(chain: tuple[str, ...]) -> int:
            return rest[next((value for value in chain if value in told), RARE)]

        known: dict[tuple[str, ...], int] = {}
        of = np.empty(len(self.facts), dtype=np.int64)
        for place, fact in enumerate(self.facts):
            chain = fact.values.get(name, ())
            if chain not in known:
                known[chain] = bucket(chain)
            of[place] = known[chain]
        return Dimension(buckets, nodes, of)

    # - the truth

    def truth(self, *names: str) -> Mapping[tuple[int, ...], tuple[int, int]]:
        """Facts and visitors of each combination of buckets of some dimensions."""
        columns = np.stack([self.dimensions[name].of for name in names])
        with_visitor = np.unique(np.vstack([columns, self.visitor]), axis=1)
        combinations_, counts = np.unique(columns, axis=1, return_counts=True)
        _, visitors = np.unique(with_visitor[:-1], axis=1, return_counts=True)
        return {
            tuple(key): (count, people)
            for key, count, people in zip(combinations_.T.tolist(), counts.tolist(), visitors.tolist(), strict=True)
        }

    def visitors_in(self, chosen: NDArray[np.bool_]) -> int:
        return len(np.unique(self.visitor[chosen]))

    # - what anyone can see

    @property
    def names(self) -> list[tuple[str, str]]:
        return list(combinations(self.dimensions, 2))

    @cached_property
    def _told(self) -> dict[tuple[str, str], dict[tuple[int, int], Row]]:
        places = {
            name: {row.a_value: place for place, row in enumerate(dimension.buckets)}
            for name, dimension in self.dimensions.items()
        }
        found: dict[tuple[str, str], dict[tuple[int, int], Row]] = {names: {} for names in self.names}
        for row in self.rows:
            if row.b:
                found[row.a, row.b][places[row.a][row.a_value], places[row.b][row.b_value]] = row
        return found

    def told(self, a: str, b: str) -> dict[tuple[int, int], int]:
        """The released pairs of two dimensions, by bucket."""
        if a < b:
            return {key: row.count for key, row in self._told[a, b].items()}
        return {(column, row): found.count for (row, column), found in self._told[b, a].items()}

    def dense(self, a: str, b: str) -> Numbers:
        """The released pairs as a matrix, -1 for what is held back."""
        matrix = np.full((len(self.dimensions[a].buckets), len(self.dimensions[b].buckets)), -1, dtype=np.int64)
        for (row, column), count in self.told(a, b).items():
            matrix[row, column] = count
        return matrix

    def true_matrix(self, a: str, b: str) -> Numbers:
        size = len(self.dimensions[a].buckets), len(self.dimensions[b].buckets)
        flat = np.bincount(self.dimensions[a].of * size[1] + self.dimensions[b].of, minlength=size[0] * size[1])
        return flat.reshape(size).astype(np.int64)

    def nested(self) -> Iterator[tuple[str, str, str, Numbers, Numbers]]:
        """Inner and outer dimension, a value of the outer, its buckets, and the inner ones that lie wholly in it."""
        for inner in self.dimensions:
            for outer in self.dimensions:
                if inner == outer:
                    continue
                matrix = self.true_matrix(inner, outer)
                sizes = matrix.sum(axis=1)
                for row, buckets in self.dimensions[outer].sets:
                    together = matrix[:, buckets].sum(axis=1)
                    inside = np.flatnonzero((together == sizes) & (sizes > 0))
                    if len(inside) and matrix[:, buckets].sum() < len(self.facts):
                        yield inner, outer, row.a_value, buckets, inside


def check_reading(found: Known) -> None:
    """See to it that what is told is true, and stands for k visitors."""
    for name, dimension in found.dimensions.items():
        truth = found.truth(name)
        whole = len(dimension.buckets) == 1
        for place, row in enumerate(dimension.buckets):
            count, visitors = truth[place,]
            assert row.count == count, (name, row)
            assert (visitors >= found.k and row.visitors <= visitors) or whole, (name, row, visitors)
        for row, buckets in dimension.sets:
            inside = np.isin(dimension.of, buckets)
            assert row.count == inside.sum()
            assert found.visitors_in(inside) >= found.k or whole
    for a, b in found.names:
        true = found.truth(a, b)
        for key, count in found.told(a, b).items():
            assert count == true[key][0]
            assert true[key][1] >= found.k, (a, b, key)
