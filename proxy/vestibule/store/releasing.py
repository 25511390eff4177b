"""Runs the release of a day on the store's tables: reads open cells, writes released ones, in one exchange.

What may be told is decided by ``core/release.py``; here it is fed, a kind and a first dimension at a time. Pairs come
and stay as columns of numbers: the store sends each text once a block, and beside it where it stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from vestibule.core.errors import StoreError
from vestibule.core.release import WITHIN, KindSingles, Numbers, Pairs, Release, Row, Single, at_least
from vestibule.store import native, rows
from vestibule.store.files import query
from vestibule.store.layout import Layout, identifier, literal

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Places = dict[str, dict[str, int]]
"""For each dimension the places of its values among its singles."""

_AT_ONCE = 50_000
"""Released rows that are written at once."""

_STAGING = "staging_"
_LEFT = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, {ours:String})"
    " AND metadata_modification_time > toDateTime(0)"
    " AND metadata_modification_time < now() - toIntervalSecond({age:Int64})"
)
_OF_DAY = "site = {site:String} AND day = {day:Date}"
_FACTS = f"SELECT sum(count) FROM open_cells WHERE {_OF_DAY}"  # noqa: S608
_TOLD = f"SELECT count() FROM cells WHERE {_OF_DAY} AND NOT provisional"  # noqa: S608
_CLOSED = f"SELECT count() = 0 FROM closed_days WHERE {_OF_DAY}"  # noqa: S608
_CLAIMED = f"""
    SELECT countIf(state = 'done') = 0 AND argMaxIf(owner, time, state = 'claimed') = {{owner:String}}
        AND ({_FACTS}) = {{facts:UInt64}} AND ({_TOLD}) = 0
    FROM closed_days WHERE {_OF_DAY}"""  # noqa: S608


def release(
    client: Client, layout: Layout, site: str, day: date, *, k: int, provisional: bool, owner: str
) -> int | None:
    """Work out what may be told of a day and put it in place of what was told of it before; return the number of rows.

    owner: of the tables in which it is made, as nobody else: readers see the old numbers until the new ones are
    complete. Of an exact one, who has claimed the day too.

    It may take long, and whoever makes it may stand still. So the last thing before the exchange is a look at the day,
    and where it has changed hands the release is dropped and None returned: a provisional one, if somebody is closing
    the day; an exact one, if the claim is another's by now, the day is done, facts came or went meanwhile, or exact
    numbers of it are told already: these are never replaced, least of all by nothing. There are no transactions here:
    between that look and the exchange lies the time that one statement takes to reach the store. An exact release that
    stands still just there is of all facts that there were when it looked; a snapshot may take the place of the exact
    numbers, and stays if they had been looked at once more by then (``Store.close_day``).
    """
    facts = 0 if provisional else open_facts(client, site, day)
    staging, known = _STAGING + owner, f"{_STAGING}{owner}_known"
    for table in (staging, known):
        for statement in (*layout.drop(table), *layout.copy("cells", table)):
            client.command(statement)
    try:
        written = 0
        for released in _portions(_released(client, site, day, k=k, rounded=provisional, known=known)):
            columns = rows.of_release(site, day, released, provisional)
            client.insert(staging, columns, column_names=rows.CELLS, column_oriented=True)
            written += len(released)
        # Its open cells are gone once it is closed: nobody could mend what was told of it.
        asked = {"site": site, "day": day, "owner": owner, "facts": facts}
        if not client.query(_CLOSED if provisional else _CLAIMED, asked).result_rows[0][0]:
            return None
        source = identifier(layout.stored(staging))
        client.command(layout.change("cells", f"REPLACE PARTITION {partition(site, day)} FROM {source}"))
    finally:
        for statement in (*layout.drop(staging), *layout.drop(known)):
            client.command(statement)
    return written


def open_facts(client: Client, site: str, day: date) -> int:
    """What the open cells of a day count, all together."""
    return int(client.query(_FACTS, {"site": site, "day": day}).result_rows[0][0])


def is_told(client: Client, site: str, day: date) -> bool:
    """Whether a day has been released for good: the exchange puts all of it in place at once."""
    return bool(client.query(_TOLD, {"site": site, "day": day}).result_rows[0][0])


def sweep(client: Client, layout: Layout, age: int = 86_400) -> None:
    """Remove tables in which a release was made that was cut short, and not begun again for ``age`` seconds."""
    ours = f"^{_STAGING}[0-9a-f]{{16}}(_known)?(_local)?$"
    for (name,) in client.query(_LEFT, {"ours": ours, "age": age}).result_rows:
        for statement in layout.drop(name):
            client.command(statement)


def partition(site: str, day: date) -> str:
    """The partition of a site and day, as SQL."""
    return f"({literal(site)}, {literal(day.isoformat())})"


def _portions(found: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(found)
    while portion := list(islice(rest, _AT_ONCE)):
        yield portion


def _released(client: Client, site: str, day: date, *, k: int, rounded: bool, known: str) -> Iterator[Row]:
    found = {singles.kind: singles for singles in _singles(client, site, day)}
    _note_known(client, known, site, day, found.values(), k)
    settled: dict[str, Release] = {}
    for kind in sorted(found, key=lambda kind: (kind in WITHIN, kind)):
        singles = found[kind]
        with _Asking(client, site, day, singles, known) as asking:
            whole = WITHIN.get(kind, "")
            beside = [each for name, each in settled.items() if WITHIN.get(name) == whole]
            chosen = Release(singles, k, rounded, settled.get(whole), beside)
            places = {
                dimension: {single.value: place for place, single in enumerate(values)}
                for dimension, values in singles.dimensions.items()
            }
            for a, answer in asking.answers():
                for b, pairs in _pairs(answer, places, a).items():
                    chosen.add(a, b, pairs)
        yield from chosen.rows()
        if kind in WITHIN or kind in WITHIN.values():
            settled[kind] = chosen


def _singles(client: Client, site: str, day: date) -> Iterator[KindSingles]:
    found = client.query(query("open_singles"), parameters={"site": site, "day": day}).result_rows
    for kind, of_kind in groupby(found, key=itemgetter(0)):
        dimensions: dict[str, list[Single]] = {}
        for _, dimension, value, path, count, visitors in of_kind:
            dimensions.setdefault(dimension, []).append(Single(value, tuple(path), count, visitors))
        (root,) = dimensions.pop("", [Single("", (), 0, 0)])
        yield KindSingles(kind, root, {dimension: tuple(values) for dimension, values in dimensions.items()})


def _note_known(client: Client, table: str, site: str, day: date, kinds: Iterable[KindSingles], k: int) -> None:
    """Tell the store of which values it shall tell the pairs."""
    known = [
        (singles.kind, dimension, single.value)
        for singles in kinds
        for dimension, values in singles.dimensions.items()
        for single in values
        if at_least(single.visitors) >= k
    ]
    if known:
        columns: rows.Columns = [[site] * len(known), [day] * len(known), *zip(*known, strict=True)]
        client.insert(table, columns, column_names=("site", "day", "kind", "a", "a_value"), column_oriented=True)


class _Asking:
    """Asks for the pairs of a kind, a first dimension at a time. While one answer is looked at, the engine works on the
    next; and it begins at once."""

    def __init__(self, client: Client, site: str, day: date, singles: KindSingles, known: str) -> None:
        self._client = client
        self._question = query("open_pairs").replace("known_values", identifier(known))
        self._parameters = {"site": site, "day": day, "kind": singles.kind}
        self._left = deque(sorted(singles.dimensions))
        self._ahead = ThreadPoolExecutor(1, "pairs")
        self._asked = self._next()

    def __enter__(self) -> _Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.shutdown()

    def answers(self) -> Iterator[tuple[str, bytes]]:
        """For each dimension the pairs that it is first in, as they are sent."""
        while self._asked is not None:
            a, coming = self._asked
            answer = coming.result()
            self._asked = self._next()
            yield a, answer

    def _next(self) -> tuple[str, Future[bytes]] | None:
        if not self._left:
            return None
        a = self._left.popleft()
        return a, self._ahead.submit(self._ask, a)

    def _ask(self, a: str) -> bytes:
        return self._client.raw_query(self._question, parameters={**self._parameters, "a": a}, fmt="Native")


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
