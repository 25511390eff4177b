"""Runs the release of a day on the store's tables: reads open cells, writes released ones, in one exchange.

What may be told is decided by ``core/release.py``; here it is fed, a kind and a first dimension at a time. It keeps
pairs as numbers, 32 bytes each, and only those of values with ``k`` visitors or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from vestibule.core.release import WITHIN, KindSingles, Pairs, Release, Row, Single
from vestibule.store import rows
from vestibule.store.files import query
from vestibule.store.layout import Layout, identifier, literal

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_AT_ONCE = 50_000
"""Released rows that are written at once."""


def release(client: Client, layout: Layout, site: str, day: date, *, k: int, provisional: bool, staging: str) -> int:
    """Work out what may be told of a day and put it in place of what was told of it before; return the number of rows.

    staging: the name of a table of this process alone; readers see the old numbers until the new ones are complete.
    """
    for statement in (*layout.drop(staging), *layout.copy("cells", staging)):
        client.command(statement)
    try:
        written = 0
        for released in _portions(_released(client, site, day, k=k, rounded=provisional)):
            columns = rows.of_release(site, day, released, provisional)
            client.insert(staging, columns, column_names=rows.CELLS, column_oriented=True)
            written += len(released)
        source = identifier(layout.stored(staging))
        client.command(layout.change("cells", f"REPLACE PARTITION {partition(site, day)} FROM {source}"))
    finally:
        for statement in layout.drop(staging):
            client.command(statement)
    return written


def partition(site: str, day: date) -> str:
    """The partition of a site and day, as SQL."""
    return f"({literal(site)}, {literal(day.isoformat())})"


def _portions(found: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(found)
    while portion := list(islice(rest, _AT_ONCE)):
        yield portion


def _released(client: Client, site: str, day: date, *, k: int, rounded: bool) -> Iterator[Row]:
    found = {singles.kind: singles for singles in _singles(client, site, day)}
    wholes: dict[str, Release] = {}
    for kind in sorted(found, key=lambda kind: (kind in WITHIN, kind)):
        singles = found[kind]
        chosen = Release(singles, k, rounded, wholes.get(WITHIN.get(kind, "")))
        for a in sorted(singles.dimensions):
            for b, pairs in _pairs(client, site, day, singles.kind, a):
                chosen.add(a, b, pairs)
        yield from chosen.rows()
        if kind in WITHIN.values():
            wholes[kind] = chosen


def _singles(client: Client, site: str, day: date) -> Iterator[KindSingles]:
    found = client.query(query("open_singles"), parameters={"site": site, "day": day}).result_rows
    for kind, of_kind in groupby(sorted(found, key=lambda row: (row[0], row[1], row[2])), key=lambda row: row[0]):
        dimensions: dict[str, list[Single]] = {}
        for _, dimension, value, path, count, visitors in of_kind:
            dimensions.setdefault(dimension, []).append(Single(value, tuple(path), count, visitors))
        (root,) = dimensions.pop("", [Single("", (), 0, 0)])
        yield KindSingles(kind, root, {dimension: tuple(values) for dimension, values in dimensions.items()})


def _pairs(client: Client, site: str, day: date, kind: str, a: str) -> Iterator[tuple[str, Pairs]]:
    parameters = {"site": site, "day": day, "kind": kind, "a": a}
    result = client.query(query("open_pairs"), parameters=parameters, column_oriented=True)
    columns = result.result_columns
    if not columns:
        return
    second, a_values, b_values, counts, visitors = columns
    start = 0
    for b, group in groupby(second):
        end = start + sum(1 for _ in group)
        yield (
            b,
            Pairs(
                a_values[start:end],
                b_values[start:end],
                np.array(counts[start:end], dtype=np.int64),
                np.array(visitors[start:end], dtype=np.int64),
            ),
        )
        start = end
