"""Dimensions that determine each other: what one of them tells must not give away what another holds back.

A network lies in one country, an iPhone is a mobile device, a service has one purpose; and on a small day anything may
happen to lie within anything, as everyone can read from the released pairs. So wherever all facts of a bucket (the
*inner* one) are in one value of another dimension (the *outer* one), that value less its inner buckets is a number that
can be worked out: *of the visitors from Germany, those of no network that is told*. It must be nothing, or stand for
``k`` visitors. The same holds beside each value of a third dimension: *of the views of this page from Germany, those of
no network that is told*.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vestibule.core.folding import Bucket, Fold, Measures, Part, measures
from vestibule.core.pairing import Table, ranked
from vestibule.core.values import Flags, Numbers

Candidates = tuple[tuple[str, Sequence[Bucket]], ...]
"""Dimensions and buckets of them, in the order in which they are given up."""

_FREE = 1 << 30
"""More than any pair has: what may be hidden where the outer pair is held back."""

SMALL = 10_000
"""Pairs of buckets of a table that ``gaps`` looks at."""


@dataclass(frozen=True, slots=True)
class Sets:
    """Released values of a dimension that don't overlap: all buckets, or all values at one level of its tree.

    of: for each bucket the set that it is part of, -1 for none. measures: of the sets.
    """

    of: Numbers
    told: tuple[Bucket, ...]
    measures: Measures


def levels(folded: Fold) -> list[Sets]:
    """The sets of a dimension: its buckets, then its released values that have others below them, from the top down."""
    buckets = folded.buckets
    found = [Sets(np.arange(len(buckets), dtype=np.int64), buckets, folded.measures)]
    nodes = {node.value: node for node in folded.nodes}
    chains = [
        (*reversed(bucket.path), *((bucket.value,) if bucket.value in nodes else ())) if bucket.path or nodes else ()
        for bucket in buckets
    ]
    for depth in range(max(map(len, chains), default=0)):
        at = [chain[depth] if len(chain) > depth and chain[depth] in nodes else "" for chain in chains]
        names = [name for name in dict.fromkeys(at) if name]
        place = {name: number for number, name in enumerate(names)}
        of = np.array([place.get(name, -1) for name in at], dtype=np.int64)
        told = tuple(nodes[name] for name in names)
        found.append(Sets(of, told, measures(told)))
    return found


@dataclass(frozen=True, slots=True)
class Nest:
    """Inner buckets and the sets that they lie within.

    within: for each inner bucket the set of the outer dimension, -1 for none. whole: sets without anything else.
    """

    sets: Sets
    within: Numbers
    whole: Flags

    def within_reach(self, inner: Flags, outer: Flags) -> Nest | None:
        """The same of those sets only that some buckets have to do with, inner or outer ones; None where there is no
        such set. What is said of a set depends on no other."""
        sets = np.zeros(len(self.sets.told) + 1, dtype=bool)
        sets[self.within[inner]] = sets[self.sets.of[outer]] = True
        sets[-1] = False
        within = np.where(sets[self.within], self.within, -1)
        return Nest(self.sets, within, self.whole) if (within >= 0).any() else None


def nests(table: Table, inner: Fold, outer: Iterable[Sets], total: int, k: int) -> Iterator[tuple[Nest, Numbers]]:
    """Yield for each level of the outer dimension what lies within, and the sets whose rest stands for too few.

    table: its rows are inner buckets, its columns outer ones. total: facts of the kind: what is all of them is no set.
    """
    counts, most, nothing = inner.measures.counts, inner.measures.most, np.zeros(0, dtype=np.int64)
    for sets in outer:
        size = len(sets.told)
        at = sets.of[table.columns]
        inside = at >= 0
        key, together = table.rows[inside] * size + at[inside], table.counts[inside]
        if size < len(sets.of):
            key, place, _ = ranked(key, nothing, len(counts) * size)
            together = np.bincount(place, weights=together, minlength=len(key)).astype(np.int64)
        # Else each column is a set of its own.
        wholly = together == counts[key // size]
        within = np.full(len(counts), -1, dtype=np.int64)
        within[key[wholly] // size] = key[wholly] % size
        facts = sets.measures.counts
        within[(within >= 0) & (facts[within] == total)] = -1
        if not (within >= 0).any():
            continue
        nested = within >= 0
        taken = np.bincount(within[nested], weights=counts[nested], minlength=size).astype(np.int64)
        left = facts - taken
        taken_visitors = np.bincount(within[nested], weights=most[nested], minlength=size).astype(np.int64)
        lowest = sets.measures.lowest - taken_visitors
        strangers = inside & (within[table.rows] != at)
        np.maximum.at(lowest, at[strangers], table.visitors[strangers])
        bad = (taken > 0) & (left > 0) & (lowest < k)
        yield Nest(sets, within, left == 0), np.flatnonzero(bad)


def gaps(table: Table, inner: Fold, outer: Fold, total: int, k: int) -> Iterator[Candidates]:
    """Yield the same for what lies within several buckets together: Safari within macOS and iOS, but in neither alone.

    Of small tables only (``SMALL``): in large ones nobody knows of that many values where they can be. What is yielded
    are values that may be given up, as :func:`give_up` takes them.
    """
    size = len(inner.buckets), len(outer.buckets)
    if size[0] * size[1] > SMALL:
        return
    counts, visitors = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    counts[table.rows, table.columns] = table.counts
    visitors[table.rows, table.columns] = table.visitors
    some = counts > 0
    of_inner, of_outer = counts.sum(axis=1), counts.sum(axis=0)
    most, lowest = inner.measures.most, outer.measures.lowest
    patterns = {row.tobytes(): place for place, row in enumerate(some)}
    for several in some[list(patterns.values())]:
        together = int(of_outer[several].sum())
        if several.sum() < 2 or together == total:
            continue
        inside = ~(some & ~several).any(axis=1) & (of_inner > 0)
        if together == int(of_inner[inside].sum()):
            continue
        left = max(
            int(lowest[several].max() - most[inside].sum()),
            int(visitors[~inside][:, several].max(initial=0)),
        )
        if left < k:
            yield (
                (inner.dimension, [inner.buckets[place] for place in np.flatnonzero(inside).tolist()]),
                (outer.dimension, [outer.buckets[place] for place in np.flatnonzero(several).tolist()]),
                (inner.dimension, inner.buckets),
                (outer.dimension, outer.buckets),
            )


def crowded(nest: Nest, place: int, inner: Fold, outer: Fold) -> Candidates:
    """What may be given up so that the rest of a set gets company, the likeliest first."""
    told = nest.sets.told[place]
    return (
        (inner.dimension, [inner.buckets[number] for number in np.flatnonzero(nest.within == place).tolist()]),
        (outer.dimension, [told]),
        (outer.dimension, [bucket for bucket in outer.buckets if bucket.path[:1] == (told.value,)]),
        (inner.dimension, inner.buckets),
        (outer.dimension, outer.buckets),
    )


def give_up(candidates: Candidates) -> tuple[str, str]:
    """Return dimension and value of what must be folded: the smallest of the first candidates that are values."""
    for dimension, buckets in candidates:
        leaves = [bucket for bucket in buckets if bucket.part is not Part.REST]
        if leaves:
            return dimension, min(leaves, key=lambda bucket: (bucket.visitors, bucket.count, bucket.value)).value
    raise ValueError("nothing is told that could be given up")


def expose(inner: Table, outer: Table, nest: Nest, k: int) -> tuple[Numbers, Numbers]:
    """Return which pairs of two tables must be held back, since together they give something away.

    The rows of both tables are buckets of a third dimension; columns are those of the inner and the outer one. What is
    told of a set less what is told of the inner buckets in it must be nothing, or stand for ``k`` visitors and not be
    one held-back pair alone.
    """
    size = len(nest.sets.told)
    nothing = np.zeros(0, dtype=np.int64)
    at_inner, at_outer = nest.within[inner.columns], nest.sets.of[outer.columns]
    mine = np.flatnonzero(at_inner >= 0)
    # Only where something lies within a set there is anything to be seen.
    sets, rows = np.zeros(size + 1, dtype=bool), np.zeros(len(outer.of_row), dtype=bool)
    sets[at_inner[mine]] = rows[inner.rows[mine]] = True
    theirs = np.flatnonzero(sets[at_outer] & rows[outer.rows])
    if not len(mine) or not len(theirs):
        return nothing, nothing
    keys, place_outer, place_inner = ranked(
        outer.rows[theirs] * size + at_outer[theirs], inner.rows[mine] * size + at_inner[mine], len(rows) * size
    )
    known = place_inner >= 0
    mine, place_inner = mine[known], place_inner[known]

    def added(places: Numbers, values: Numbers | Flags) -> Numbers:
        return np.bincount(places, weights=values, minlength=len(keys)).astype(np.int64)

    def largest(places: Numbers, values: Numbers) -> Numbers:
        found = np.zeros(len(keys), dtype=np.int64)
        np.maximum.at(found, places, values)
        return found

    held, counts, hidden_outer = inner.held[mine], inner.counts[mine], outer.held[theirs]
    told_inner, unknown = added(place_inner, counts * ~held), added(place_inner, held)
    outside = added(place_outer, outer.counts[theirs]) - added(place_inner, counts)
    left = largest(place_outer, outer.visitors[theirs]) - added(place_inner, inner.most[mine] * ~held)
    left = np.maximum(left, largest(place_inner, inner.visitors[mine] * held))
    parts, unknown_outer = unknown + (outside > 0), added(place_outer, hidden_outer)
    hidden = (parts == 0) | ((left >= k) & ((parts >= 2) | (unknown == 0)))
    bad = (told_inner + unknown > 0) & (unknown_outer == 0) & ~hidden
    # The other way round: what the inner buckets tell of a set that is held back.
    told_whole = (unknown_outer > 0) & (told_inner > 0) & (unknown == 0) & nest.whole[keys % size]
    if told_whole.any():
        poor = (unknown_outer == 1) | (largest(place_outer, outer.visitors[theirs] * hidden_outer) < k)
        bad |= told_whole & poor
    if not bad.any():
        return nothing, nothing
    join_inner = _smallest(inner, mine[~held], place_inner[~held], bad)
    told_outer = ~hidden_outer
    return join_inner, _smallest(outer, theirs[told_outer], place_outer[told_outer], bad & (told_inner == 0))


def limiting(inner: Table, outer: Table, nest: Nest, k: int) -> Numbers:
    """Return which pairs of the outer table must be held back, since they limit what inner ones can be.

    Of six visits that begin on this page, all of which end in that folder, at least one is from a desktop if only five
    visits from mobiles end there. What so follows for a held-back pair must be nothing, or a range 2 ``k`` wide.
    """
    size = len(nest.sets.told)
    nothing = np.zeros(0, dtype=np.int64)
    at_inner, at_outer = nest.within[inner.columns], nest.sets.of[outer.columns]
    mine = np.flatnonzero(at_inner >= 0)
    sets = np.zeros(size + 1, dtype=bool)
    sets[at_inner[mine[inner.held[mine]]]] = True
    theirs = np.flatnonzero(sets[at_outer])
    if not len(theirs):
        return nothing
    # Where a set's pairs of two rows are held back, but the bucket's own of neither is told, nothing limits it.
    free = np.zeros(size + 1, dtype=np.int64)
    held = theirs[outer.held[theirs]]
    np.maximum.at(free, nest.sets.of, np.bincount(outer.columns[held], minlength=len(nest.sets.of)))
    known = np.bincount(inner.columns[mine[~inner.held[mine]]], minlength=len(nest.within))
    limited = free[nest.within] - known < 2
    mine = mine[limited[inner.columns[mine]]]
    hidden = mine[inner.held[mine]]
    sets[:] = False
    sets[at_inner[hidden]] = True
    theirs = theirs[sets[at_outer[theirs]]]
    if not len(theirs) or outer.held[theirs].all():
        return nothing
    told = mine[~inner.held[mine] & sets[at_inner[mine]]]
    both = np.concatenate((told, hidden))
    keys, place, found = ranked(
        outer.rows[theirs] * size + at_outer[theirs],
        inner.rows[both] * size + at_inner[both],
        len(outer.of_row) * size,
    )
    at_told, at_hidden = found[: len(told)], found[len(told) :]
    # Where the set has no pair in that row, none of its buckets has one.
    told, at_told = told[at_told >= 0], at_told[at_told >= 0]
    hidden, at_hidden = hidden[at_hidden >= 0], at_hidden[at_hidden >= 0]
    limit = np.bincount(place, weights=np.where(outer.held[theirs], _FREE, outer.counts[theirs]))
    limit -= np.bincount(at_told, weights=inner.counts[told], minlength=len(keys))
    width, columns = len(nest.within), inner.columns[hidden]
    together = np.bincount(columns, weights=inner.counts[hidden], minlength=width)[columns]
    elsewhere = np.bincount(keys % size, weights=limit, minlength=size)[at_inner[hidden]] - limit[at_hidden]
    elsewhere -= np.bincount(inner.columns[told], weights=limit[at_told], minlength=width)[columns]
    least = together - elsewhere
    bad = (least > 0) & (np.minimum(together, limit[at_hidden]) - least < 2 * k)
    joining: list[int] = []
    for key in np.unique(keys[at_hidden[bad]]).tolist():
        others = (at_outer[theirs] == key % size) & (outer.rows[theirs] != key // size) & ~outer.held[theirs]
        candidates = theirs[others]
        if len(candidates):
            order = np.lexsort((candidates, outer.counts[candidates], outer.visitors[candidates]))
            joining.append(int(candidates[order[0]]))
    return np.array(sorted(set(joining)), dtype=np.int64)


def _smallest(table: Table, cells: Numbers, places: Numbers, wanted: Flags) -> Numbers:
    """Of the cells at each wanted place the one with the fewest visitors."""
    chosen = wanted[places]
    cells, places = cells[chosen], places[chosen]
    order = np.lexsort((cells, table.counts[cells], table.visitors[cells], places))
    _, first = np.unique(places[order], return_index=True)
    return cells[order][first]


def ordered(dimensions: Iterable[str]) -> list[tuple[str, str]]:
    """Every dimension with every other, in both orders."""
    names = sorted(dimensions)
    return [(inner, outer) for inner in names for outer in names if inner != outer]
