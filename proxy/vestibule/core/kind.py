"""One kind of facts on one day: what was counted of it, and what is to be told of it so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, compress
from typing import NamedTuple

import numpy as np

from vestibule.core.folding import OWN, ROOT, Fold, fold
from vestibule.core.nesting import Sets, levels
from vestibule.core.pairing import Counted, Pairs, Table, margins, table
from vestibule.core.values import Flags, Numbers, Single, Values, at_least

Names = tuple[str, str]


@dataclass(frozen=True, slots=True)
class KindSingles:
    """All singles of a kind: the kind as a whole, and by dimension its values and their ancestors."""

    kind: str
    root: Single
    dimensions: dict[str, tuple[Single, ...]]


class Known(NamedTuple):
    """What anyone can know of a dimension's values, by number.

    told: of which values. counts: their facts. most: the visitors at the most, of those that are not told, too.
    """

    told: Flags
    counts: Numbers
    most: Numbers


class Kind:
    """Values with fewer than ``k`` visitors are left out from the start: nothing is told of them, and what they are
    folded into has no more visitors for certain by having them."""

    def __init__(self, singles: KindSingles, k: int) -> None:
        self.name, self.root = singles.kind, singles.root
        self.values: dict[str, Values] = {}
        self.withheld: dict[str, Flags] = {}
        self.folds: dict[str, Fold] = {}
        self.levels: dict[str, list[Sets]] = {}
        self.pairs: dict[Names, Counted] = {}
        self.tables: dict[Names, Table] = {}
        self._k = k
        self.singles = singles.dimensions
        self._numbers: dict[str, Numbers] = {}
        for dimension, found in singles.dimensions.items():
            known = np.array([at_least(single.visitors) >= k for single in found], dtype=bool)
            self._numbers[dimension] = np.where(known, np.cumsum(known, dtype=np.int64), -1)
            values = Values(singles.root, compress(found, known.tolist()))
            self.values[dimension] = values
            self.withheld[dimension] = np.zeros(len(values), dtype=bool)
            self.fold(dimension)

    def add(self, a: str, b: str, pairs: Pairs) -> None:
        """Take the pairs of two dimensions. Where one of the values is left out, so are all pairs of it."""
        of_a, of_b = self._numbers[a][pairs.a], self._numbers[b][pairs.b]
        kept = (of_a >= 0) & (of_b >= 0)
        self.pairs[a, b] = Counted(of_a[kept], of_b[kept], pairs.counts[kept], pairs.visitors[kept])

    def fill(self) -> Iterator[Names]:
        """Have all pairs of dimensions, and yield those of which nothing was added: there is nothing in them."""
        for a, b in combinations(sorted(self.values), 2):
            if (a, b) not in self.pairs:
                self.pairs[a, b] = Counted(*np.zeros((4, 0), dtype=np.int64))
                yield a, b

    def withhold(self, dimension: str, values: Flags) -> bool:
        """Fold values of a dimension, too; return whether any was not folded for that yet."""
        before = self.withheld[dimension]
        if not (values & ~before).any():
            return False
        self.withheld[dimension] = before | values
        self.fold(dimension)
        return True

    def fold(self, dimension: str) -> None:
        """Fold a dimension. Tables of it are to be laid anew."""
        values = self.values[dimension]
        found = fold(dimension, values, values.amounts, self._k, ~self.withheld[dimension])
        self.folds[dimension] = found
        self.levels[dimension] = levels(found)

    def lay(self, names: Names) -> Table:
        """Make the table of two dimensions, of which nothing is held back where it may be told."""
        a, b = names
        parts = (*margins(self.values[a].amounts, self.values[b].amounts), self.pairs[names])
        made = table(self.folds[a], self.folds[b], parts)
        if not self.tells(names):
            made.held[:] = True
        self.tables[names] = made
        return made

    def tells(self, names: Names) -> bool:
        """Whether both dimensions have anything to tell; else there is no table."""
        return all(self.folds[name].tells for name in names)

    def between(self, rows: str, columns: str) -> Table | None:
        """The table of two dimensions, whichever way round it is kept."""
        found = self.tables.get(paired(rows, columns))
        return found if found is None or rows < columns else found.turned()

    # - what anyone can know

    def counted(self, dimension: str) -> Known:
        """All that was counted of a dimension's values, whether it is told or not; the values that are told."""
        amounts = self.values[dimension].amounts
        return Known(self.folds[dimension].kept, amounts.counts, amounts.most)

    def beside(self, dimension: str, other: str) -> Iterator[tuple[int, Known]]:
        """What can be known of a dimension's values beside each bucket of another one, and the bucket's number: by
        itself what is told of them and of the bucket as a whole, and the sums of values of which all below is told; and
        where something is held back, the sums of what is told, whatever they are of."""
        found, values, folded = self.between(dimension, other), self.values[dimension], self.folds[dimension]
        assert found is not None
        kept = folded.kept
        # A value that is not told lies in what remains of the nearest that is.
        above, whole = np.where(kept, np.arange(len(values)), values.above(kept)), values.amounts.most
        of_bucket = np.zeros(len(folded.buckets), dtype=np.int64)
        own = np.flatnonzero(folded.of[OWN] >= 0)
        of_bucket[folded.of[OWN, own]] = own
        order = np.argsort(found.columns, kind="stable")
        if not len(order):
            return
        columns, starts = np.unique(found.columns[order], return_index=True)
        for column, cells in zip(columns.tolist(), np.split(order, starts[1:]), strict=True):
            cell = of_bucket[found.rows[cells]]
            counts, most, limit, hidden, there = np.zeros((5, len(values)), dtype=np.int64)
            limit[cell], hidden[cell], there[cell] = found.most[cells], found.held[cells], ~found.held[cells]
            counts[cell], most[cell] = found.counts[cells] * there[cell], found.most[cells] * there[cell]
            own_limit = np.minimum(whole, limit[above])
            counts, most, limit, hidden, there = values.summed(counts, most, limit, hidden, there)
            limit = np.where(kept, np.minimum(whole, limit), own_limit)
            told = kept & (there > 0)
            if hidden[ROOT]:
                yield column, Known(told, counts, np.where(told, most, limit))
                counts, most = counts.copy(), most.copy()
            told = told & (hidden == 0)
            bucket = self.folds[other].buckets[column]
            told[ROOT], counts[ROOT], most[ROOT] = True, bucket.count, bucket.at_most
            yield column, Known(told, counts, np.where(told, most, limit))


def paired(one: str, other: str) -> Names:
    """The names of two dimensions in the order of the alphabet."""
    return (one, other) if one < other else (other, one)
