"""Which pairs of two dimensions' buckets may be told: a two-way table whose margins are known, and what is held back.

A pair with fewer than ``k`` visitors is held back. In each row and column those held back are none, or at least two
that stand for ``k`` visitors together; otherwise the smallest released pair joins them, until nothing changes. (A
visitor may be in several of them: so not their sum counts, but how many there are at least: the largest one's, or the
line's less those of all that is told, whichever is more.) That alone lets small tables be solved: so more join until
what the margins allow for each pair held back contains 0 or is at least 2 ``k`` wide. Numbers that are released are
exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vestibule.core.folding import OWN, PARENT, WITHIN, Fold
from vestibule.core.values import Amounts, Flags, Numbers, bounds

_DENSE = 16
"""For each key that there is, how many there may be at most for all of these to get a place."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was counted of pairs of two dimensions' values: columns of one length, every value's ancestors included.

    a, b: the values' places among the singles of their dimensions.
    """

    a: Numbers
    b: Numbers
    counts: Numbers
    visitors: Numbers


@dataclass(frozen=True, slots=True)
class Counted:
    """Pairs by their values' numbers."""

    a: Numbers
    b: Numbers
    counts: Numbers
    visitors: Numbers

    @property
    def lowest(self) -> Numbers:
        """How many visitors there are at least."""
        return bounds(self.visitors)[0]

    @property
    def most(self) -> Numbers:
        """How many visitors there are at most."""
        return bounds(self.visitors)[1]


@dataclass(frozen=True, slots=True)
class Table:
    """The pairs of buckets that have facts, as columns.

    visitors, most: how many there are at least, and at the most. held: what is not told. of_row, of_column: how many
    visitors each bucket has at least.
    """

    rows: Numbers
    columns: Numbers
    counts: Numbers
    visitors: Numbers
    most: Numbers
    held: Flags
    of_row: Numbers
    of_column: Numbers

    def among(self, pairs: Flags | None, width: int) -> Flags:
        """Of ``width`` columns those that some pairs are in; none for None."""
        found = np.zeros(width, dtype=bool)
        if pairs is not None:
            found[self.columns[pairs]] = True
        return found

    def turned(self) -> Table:
        """The same with rows for columns; what is held back is shared."""
        return Table(
            self.columns, self.rows, self.counts, self.visitors, self.most, self.held, self.of_column, self.of_row
        )


def margins(a: Amounts, b: Amounts) -> tuple[Counted, Counted]:
    """Every value beside the other dimension's root."""
    of_a, of_b = (np.arange(len(amounts.counts), dtype=np.int64) for amounts in (a, b))
    first = Counted(of_a, np.zeros_like(of_a), a.counts, a.visitors)
    # Both roots were among the first.
    return first, Counted(np.zeros_like(of_b[1:]), of_b[1:], b.counts[1:], b.visitors[1:])


def table(a: Fold, b: Fold, parts: Iterable[Counted], exact: bool = True) -> Table:
    """Work out each pair of buckets from the pairs of values and the margins. exact: whether their visitors are what
    the store counted; else there are so many at least.

    A remainder is its node less the released children, so a pair of values counts, with alternating signs, towards the
    buckets of its values and those of their parents. For visitors only what is certain is used: a pair of values that
    lies wholly within the pair of buckets, and the node's own pair less all that was released below it.
    """
    size = max(len(b.buckets), 1)
    pairs = _joined(parts)
    # But nobody counts without a fact.
    low, high = (pairs.lowest, pairs.most) if exact else (pairs.visitors, pairs.counts)
    of_a, of_b = a.of.take(pairs.a, axis=1), b.of.take(pairs.b, axis=1)
    in_a, in_b, before = of_a >= 0, of_b >= 0, of_a * size
    keys: list[Numbers] = []
    counts: list[Numbers] = []
    lowest: list[Numbers] = []
    for first, second, count, bound in (
        (OWN, OWN, pairs.counts, low),
        (PARENT, OWN, -pairs.counts, -high),
        (OWN, PARENT, -pairs.counts, -high),
        (PARENT, PARENT, pairs.counts, np.zeros_like(low)),
    ):
        there = np.flatnonzero(in_a[first] & in_b[second])
        keys.append(before[first, there] + of_b[second, there])
        counts.append(count[there])
        lowest.append(bound[there])
    inside = np.flatnonzero(in_a[WITHIN] & in_b[WITHIN])
    within = before[WITHIN, inside] + of_b[WITHIN, inside]
    key, place, wholly = ranked(np.concatenate(keys), within, len(a.buckets) * size)
    count, visitors = (_sums(place, np.concatenate(values), len(key)) for values in (counts, lowest))
    found = wholly >= 0
    np.maximum.at(visitors, wholly[found], low[inside[found]])
    some = count > 0
    key, count = key[some], count[some]
    visitors = np.clip(visitors[some], 0, count)
    rows, columns = key // size, key % size
    # What a remainder's pairs have is a lower bound only.
    known = ~(a.measures.rests[rows] | b.measures.rests[columns])
    most = np.where(known, np.minimum(bounds(visitors)[1], count), count) if exact else count
    held = np.zeros(len(key), dtype=bool)
    return Table(rows, columns, count, visitors, most, held, a.measures.lowest, b.measures.lowest)


def _joined(parts: Iterable[Counted]) -> Counted:
    columns = zip(*((part.a, part.b, part.counts, part.visitors) for part in parts), strict=True)
    return Counted(*map(np.concatenate, columns))


def ranked(keys: Numbers, wanted: Numbers, size: int) -> tuple[Numbers, Numbers, Numbers]:
    """Return each key once, ascending; the places of all keys among these; and those of what is wanted, -1 for nowhere.

    size: more than any key, there or wanted.
    """
    if size <= _DENSE * len(keys):
        # A place for every key that there can be spares the sorting.
        there = np.zeros(size, dtype=bool)
        there[keys] = True
        key = np.flatnonzero(there)
        where = np.empty(size, dtype=np.int32)
        where[key] = np.arange(len(key))
        return key, where[keys].astype(np.int64), np.where(there[wanted], where[wanted], -1)
    # Sorting all together is many times as fast as looking up what is wanted.
    every, place = np.unique(np.concatenate((keys, wanted)), return_inverse=True)
    there = np.zeros(len(every), dtype=bool)
    there[place[: len(keys)]] = True
    place = np.where(there, np.cumsum(there) - 1, -1)[place]
    return every[there], place[: len(keys)], place[len(keys) :]


def _sums(places: Numbers, values: Numbers, size: int) -> Numbers:
    """By place the sum of its values. (A sum of whole numbers is exact in a float below 2⁵³.)"""
    return np.bincount(places, weights=values, minlength=size).astype(np.int64)


def hold_back(table: Table, k: int) -> None:
    """Hold back the small pairs, and those that must keep them company; what is held back already stays so."""
    held = table.held
    held |= table.visitors < k
    told = np.flatnonzero(~held)
    order = told[np.lexsort((table.counts[told], table.visitors[told]))]
    share = 1
    while True:
        _join_lines(table, order, k)
        exposed = _exposed(table, k)
        if not len(exposed):
            return
        released = order[~held[order]]
        if not len(released):
            return
        # What shares a row or a column with an exposed pair hides it best; the more rounds, the more of it at a time.
        near = np.isin(table.rows[released], table.rows[exposed])
        near |= np.isin(table.columns[released], table.columns[exposed])
        held[(released[near] if near.any() else released)[:share]] = True
        share = min(share * 2, len(held))


def _join_lines(table: Table, order: Numbers, k: int) -> None:
    """See to it that each row and column holds back nothing, or two pairs at least that stand for ``k`` visitors."""
    held = table.held
    while True:
        joining: list[Numbers] = []
        hidden, told = np.flatnonzero(held), np.flatnonzero(~held)
        for lines, lowest in ((table.rows, table.of_row), (table.columns, table.of_column)):
            number = np.bincount(lines[hidden], minlength=len(lowest))
            visitors = lowest - _sums(lines[told], table.most[told], len(lowest))
            np.maximum.at(visitors, lines[hidden], table.visitors[hidden])
            lacking = (number > 0) & ((number < 2) | (visitors < k))
            candidates = order[lacking[lines[order]] & ~held[order]]
            _, smallest = np.unique(lines[candidates], return_index=True)
            joining.append(candidates[smallest])
        chosen = np.concatenate(joining)
        if not len(chosen):
            return
        held[chosen] = True


def _exposed(table: Table, k: int) -> Numbers:
    """Return the held-back pairs that the margins and the released pairs still pin down.

    A pair x of row i and column j may as well be smaller by d: give d to another pair of row i and to another of column
    j, and take it from the pair where these two's lines cross. All four must not be known, and the last must have d to
    give; a pair that nobody has is not known either, for it is not released. So if the crossing pairs together have x,
    x may be nothing at all; if they have 2 k, it may be anything in a range that wide. A pair with less is exposed.
    """
    rows, columns, counts, held = table.rows, table.columns, table.counts, table.held
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
