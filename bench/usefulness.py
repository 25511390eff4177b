"""What the protection costs: how many views keep their page, folder, source, browser, or a pair of two dimensions.

Run: ``python -m bench usefulness``. A day of a middling site (8,000 views), and a log in which hundreds of addresses
occur once (700 views), each released with k = 3, 5 and 10.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.traffic import SITE, Traffic
from vestibule.catalogue import country_database
from vestibule.core.cells import Accumulator, Partial
from vestibule.core.hits import DIMENSIONS, Settings
from vestibule.core.keys import SALT_BYTES, day_keys, visitor_key
from vestibule.core.release import RARE, KindSingles, Pairs, Part, Release, Row, Single
from vestibule.core.visit import facts
from vestibule.recorder.lookups import Tables

NOON = 1_795_305_600.0
DAY = "2026-11-22"
SHOWN = ("page", "referrer", "browser", "country", "network")
PAIRS = (("page", "referrer"), ("country", "page"), ("device", "page"))


def counted(traffic: Traffic, views: int, tables: Tables) -> Partial:
    """The cells of a day's views, spread over its hours."""
    chosen, settings, keys = (
        random.Random(1),
        Settings(hosts=frozenset({SITE})),
        day_keys("s", bytes(SALT_BYTES), SITE, DAY),
    )
    cells = Accumulator()
    for hit in traffic.views(views, NOON):
        moved = hit._replace(time=hit.time + 3600 * chosen.randrange(-8, 8))
        for fact in facts(moved, settings, tables)[0]:
            if fact.kind == "view":
                cells.add(SITE, DAY, keys, fact.kind, fact.time, fact.values, visitor_key(keys, fact.visitor))
    return cells.take()


def released(partial: Partial, k: int) -> list[Row]:
    singles: dict[str, list[Single]] = {}
    pairs: dict[tuple[str, str], list[tuple[str, str, int, int]]] = {}
    for cell in partial.cells():
        if cell.b is None:
            found = Single(cell.a.value, cell.a.path, cell.count, len(cell.hashes))
            singles.setdefault(cell.a.dimension, []).append(found)
        else:
            row = (cell.a.value, cell.b.value, cell.count, len(cell.hashes))
            pairs.setdefault((cell.a.dimension, cell.b.dimension), []).append(row)
    (root,) = singles.pop("")
    release = Release(KindSingles("view", root, {name: tuple(each) for name, each in singles.items()}), k)
    places = {name: {single.value: place for place, single in enumerate(found)} for name, found in singles.items()}

    def of(name: str, values: Sequence[str]) -> NDArray[np.int64]:
        """The places of values among the singles of their dimension."""
        return np.array([places[name][value] for value in values], dtype=np.int64)

    for (a, b), counted in sorted(pairs.items()):
        a_values, b_values, counts, visitors = zip(*counted, strict=True)
        release.add(a, b, Pairs(of(a, a_values), of(b, b_values), np.array(counts), np.array(visitors)))
    return list(release.rows())


def report(name: str, partial: Partial, k: int) -> None:
    rows = released(partial, k)
    total = rows[0].count
    for dimension in SHOWN:
        own = [row for row in rows if row.a == dimension and not row.b]
        exact = sum(row.count for row in own if row.part is Part.LEAF) / total
        rare = sum(row.count for row in own if row.part is Part.REST and row.a_value == RARE) / total
        say(f"{name}, k = {k}: {dimension} known, or at least what is above it", f"{exact:.0%}, {1 - rare:.0%}")
    for names in PAIRS:
        say(f"{name}, k = {k}: {' and '.join(names)}", f"{pair_share(rows, names, total):.0%}")
    every = [pair_share(rows, names, total) for names in combinations(sorted(DIMENSIONS["view"]), 2)]
    say(f"{name}, k = {k}: all pairs of dimensions, on average", f"{sum(every) / len(every):.0%}")


def pair_share(rows: Sequence[Row], names: tuple[str, str], total: int) -> float:
    return sum(row.count for row in rows if (row.a, row.b) == names) / total


def say(what: str, value: str) -> None:
    sys.stdout.write(f"{what:<66} {value:>12}\n")
    sys.stdout.flush()


def main() -> None:
    tables = Tables(country_database())
    for name, traffic, views in (
        ("site", Traffic(random.Random(11), visitors=2_700, pages=300), 8_000),
        ("scattered", Traffic(random.Random(1), visitors=40, pages=60, once=0.7), 700),
    ):
        partial = counted(traffic, views, tables)
        for k in (3, 5, 10):
            report(name, partial, k)
    tables.close()


if __name__ == "__main__":
    main()
