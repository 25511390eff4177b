"""The values of one dimension: their numbers, how they lie below each other, and how much was counted of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

ERROR = 0.03
"""How far an estimate may be off, relatively: about ten standard deviations."""

EXACT = int(4096 * (1 - ERROR))
"""Up to here the store's numbers of visitors are exact: it counts up to 4096 so, and where there are a few more its
estimate may be a number below."""


@dataclass(frozen=True, slots=True)
class Single:
    """What was counted of one value, all below it included. path: its ancestors, nearest first, the root left out."""

    value: str
    path: tuple[str, ...]
    count: int
    visitors: int


class Amounts(NamedTuple):
    """How much there is of each value, by number. visitors: as the store has them; lowest, most: what is certain."""

    counts: Numbers
    visitors: Numbers
    lowest: Numbers
    most: Numbers


class Values:
    """The values of one dimension. Number 0 is the root, that is all there is; the others follow as they are given.

    parents: for each value the nearest of its ancestors that is a value too; the root's is the root.
    """

    def __init__(self, root: Single, singles: Iterable[Single]) -> None:
        self.singles = (root, *singles)
        self.numbers = {single.value: number for number, single in enumerate(self.singles) if number}
        above = [[self.numbers[value] for value in single.path if value in self.numbers] for single in self.singles[1:]]
        self.parents: Numbers = np.array([0, *(known[0] if known else 0 for known in above)], dtype=np.int64)
        depths = np.array([-1, *map(len, above)], dtype=np.int64)
        self._levels = [np.flatnonzero(depths == depth) for depth in range(int(depths.max()) + 1)]

    def __len__(self) -> int:
        return len(self.singles)

    @cached_property
    def amounts(self) -> Amounts:
        """What was counted."""
        counts = np.array([single.count for single in self.singles], dtype=np.int64)
        visitors = np.array([single.visitors for single in self.singles], dtype=np.int64)
        return Amounts(counts, visitors, *bounds(visitors))

    @cached_property
    def ranks(self) -> Numbers:
        """The values' places in the alphabet."""
        found = np.empty(len(self), dtype=np.int64)
        found[sorted(range(len(self)), key=lambda number: self.singles[number].value)] = np.arange(len(self))
        return found

    def chosen(self, values: Iterable[str]) -> Flags:
        """Which numbers some values have; other dimensions' values have none."""
        found = np.zeros(len(self), dtype=bool)
        found[[self.numbers[value] for value in values if value in self.numbers]] = True
        return found

    def named(self, chosen: Flags) -> set[str]:
        """The values of some numbers, the root left out."""
        return {self.singles[number].value for number in np.flatnonzero(chosen).tolist() if number}

    def above(self, kept: Flags) -> Numbers:
        """For each value the nearest of its ancestors that is kept; the root always is."""
        found = np.zeros(len(self), dtype=np.int64)
        for level in self._levels[1:]:
            parents = self.parents[level]
            found[level] = np.where(kept[parents], parents, found[parents])
        return found

    def below(self, chosen: Flags) -> Flags:
        """The chosen values and all that are below them; the root is not chosen."""
        found = chosen.copy()
        for level in self._levels[1:]:
            found[level] |= found[self.parents[level]]
        return found

    def summed(self, *columns: Numbers) -> list[Numbers]:
        """Columns of what belongs to each value alone, as sums with all that is below it."""
        found = [column.copy() for column in columns]
        for level in reversed(self._levels):
            for column in found:
                np.add.at(column, self.parents[level], column[level])
        return found

    def lifted(self, column: Numbers) -> Numbers:
        """For each value the largest there is of it and of all that is below it."""
        found = column.copy()
        for level in reversed(self._levels):
            np.maximum.at(found, self.parents[level], found[level])
        return found


def at_least(visitors: int) -> int:
    """Return how many visitors there are at least, given the store's number."""
    return visitors if visitors <= EXACT else int(visitors * (1 - ERROR))


def at_most(visitors: int) -> int:
    """Return how many visitors there are at most, given the store's number."""
    return visitors if visitors <= EXACT else int(visitors * (1 + ERROR)) + 1


def bounds(visitors: Numbers) -> tuple[Numbers, Numbers]:
    """Return ``at_least`` and ``at_most`` of many numbers."""
    estimated = visitors > EXACT
    if not estimated.any():
        return visitors, visitors
    low = np.where(estimated, (visitors * (1 - ERROR)).astype(np.int64), visitors)
    high = np.where(estimated, (visitors * (1 + ERROR)).astype(np.int64) + 1, visitors)
    return low, high
