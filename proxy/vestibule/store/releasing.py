"""Runs the release of a day on the store's tables: reads open cells, writes released ones, in one exchange.

What may be told is decided by ``core/release.py``; here it is fed, a kind and a first dimension at a time. Pairs come
and stay as columns of numbers: the store sends each text once a block, and beside it where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from vestibule.core.errors import StoreError
from vestibule.core.release import WITHIN, KindSingles, Numbers, Pairs, Release, Row, Single
from vestibule.store import native, rows
from vestibule.store.files import query
from vestibule.store.layout import Layout, identifier, literal

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Places = dict[str, dict[str, int]]
"""For each dimension the places of its values among its singles."""

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
        places = {
            dimension: {single.value: place for place, single in enumerate(values)}
            for dimension, values in singles.dimensions.items()
        }
        for a, answer in _answers(client, site, day, singles):
            for b, pairs in _pairs(answer, places, a).items():
                chosen.add(a, b, pairs)
        yield from chosen.rows()
        if kind in WITHIN.values():
            wholes[kind] = chosen


def _singles(client: Client, site: str, day: date) -> Iterator[KindSingles]:
    found = client.query(query("open_singles"), parameters={"site": site, "day": day}).result_rows
    for kind, of_kind in groupby(sorted(found, key=lambda row: tuple(row[:3])), key=lambda row: row[0]):
        dimensions: dict[str, list[Single]] = {}
        for _, dimension, value, path, count, visitors in of_kind:
            dimensions.setdefault(dimension, []).append(Single(value, tuple(path), count, visitors))
        (root,) = dimensions.pop("", [Single("", (), 0, 0)])
        yield KindSingles(kind, root, {dimension: tuple(values) for dimension, values in dimensions.items()})


def _answers(client: Client, site: str, day: date, singles: KindSingles) -> Iterator[tuple[str, bytes]]:
    """For each dimension the pairs that it is first in, as they are sent. While one answer is looked at, the engine
    works on the next."""
    common = {"site": site, "day": day, "kind": singles.kind}

    def ask(a: str) -> bytes:
        return client.raw_query(query("open_pairs"), parameters={**common, "a": a}, fmt="Native")

    dimensions = sorted(singles.dimensions)
    with ThreadPoolExecutor(1, "pairs") as ahead:
        asked = ahead.submit(ask, dimensions[0]) if dimensions else None
        for a, following in zip(dimensions, (*dimensions[1:], ""), strict=True):
            answer = asked.result() if asked is not None else b""
            asked = ahead.submit(ask, following) if following else None
            yield a, answer


def _pairs(answer: bytes, places: Places, a: str) -> dict[str, Pairs]:
    """By second dimension what is in an answer to ``open_pairs``.

    Pairs of values that no single stands for are left out: they came after the singles were read.
    """
    parts: dict[str, list[tuple[Numbers, ...]]] = {}
    for block in _blocks(answer):
        second, first_values, second_values = block.texts
        of_a = _places(first_values.names, first_values.places, places[a])
        for number, b in enumerate(second.names):
            chosen = second.places == number
            if not b or not chosen.any():
                continue
            of_b = _places(second_values.names, second_values.places[chosen], places.get(b, {}))
            columns = (of_a[chosen], of_b, *(numbers[chosen] for numbers in block.numbers))
            known = (columns[0] >= 0) & (columns[1] >= 0)
            parts.setdefault(b, []).append(tuple(column[known] for column in columns))
    return {b: Pairs(*map(np.concatenate, zip(*found, strict=True))) for b, found in parts.items()}


def _blocks(answer: bytes) -> Iterator[native.Block]:
    try:
        yield from native.read(answer)
    except ValueError as error:
        raise StoreError(f"store: it answers in another way: {error}") from None


def _places(names: Sequence[str], chosen: Numbers, places: Mapping[str, int]) -> Numbers:
    """Where the chosen ones of some names stand, -1 for nowhere. Of a block's names most are of another dimension."""
    used = np.zeros(len(names), dtype=bool)
    used[chosen] = True
    found = np.full(len(names), -1, dtype=np.int64)
    found[used] = [places.get(names[number], -1) for number in np.flatnonzero(used).tolist()]
    return found[chosen]
