"""How fast the dashboard answers over two years of released numbers, and what a page weighs.

Run: ``python -m bench dashboard``, or ``python -m bench.dashboard DAYS FOLDER`` to keep the numbers for the next time.
They are made in the engine itself (chDB, in a folder that is thrown away where none is given): ``DAYS`` days of
``CELLS`` cells each, singles of every dimension and pairs, spread as a site's are. Then the admin app is asked over
loopback, each question after another, as one browser does: medians stand beside what they may be, and the first time,
when nothing is remembered of the days that are over. The app's clock goes on by ten seconds each time, so that nothing
with today in it is remembered.
"""

from __future__ import annotations

import asyncio
import gzip
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.admin import PASSWORD, SITE, Clock, MemoryBackend, MemoryOffice, person, settings
from tests.servers import serve_asgi
from vestibule.core.visit import DIMENSIONS
from vestibule.dashboard import Table, create_app
from vestibule.dashboard.panels import VIEWS
from vestibule.store import Breakdown, Store, TimeSeries, open_store

DAYS = 730
CELLS = 10_000
ROUNDS = 9
REMEMBER = 5
"""Seconds, as in production."""
NOW = datetime(2026, 11, 22, 14, 37, tzinfo=ZoneInfo("Europe/Berlin"))
OWN = {"Sec-Fetch-Site": "same-origin"}

LIVE = 1
"""Days that are not archived: today."""

_CELLS = """
INSERT INTO {table} (site, day, kind, a, a_value, b, b_value, part, path, count, visitors, provisional)
SELECT {site:String}, {first:Date} + day, each.1, each.2,
    if(each.2 = '', '', concat(each.4, toString(if(each.3 = '', row, intDiv(row, each.7))))),
    each.3, if(each.3 = '', '', concat(each.5, toString(row % each.7))),
    if(each.2 = '', 'node', 'leaf'), [],
    toUInt64(20000 / (1 + row)) + 5 + cityHash64(row, day) % 40, 5 + toUInt64(9000 / (1 + row)),
    {first:Date} + day = {today:Date}
FROM (
    SELECT {skipped:UInt32} + number AS day, arrayJoin({SPECS}) AS each, arrayJoin(range(each.6)) AS row
    FROM numbers({days:UInt32})
)
SETTINGS max_partitions_per_insert_block = 0, max_insert_threads = 1, max_threads = 1, max_block_size = 50,
    min_insert_block_size_rows = 1000000, min_insert_block_size_bytes = 0
"""
_ARCHIVED = "INSERT INTO archived_days SELECT {site:String}, {first:Date} + number, now() FROM numbers({days:UInt32})"
_TOTALS = """
INSERT INTO totals
SELECT {site:String}, toDateTime({first:Date}, 'UTC') + number * 300, kind, 20 + cityHash64(number, kind) % 200
FROM numbers({days:UInt32} * 288) ARRAY JOIN {kinds:Array(String)} AS kind
WHERE toDateTime({first:Date}, 'UTC') + number * 300 < {now:DateTime('UTC')}
"""
_STEMS = {"page": "/page/", "previous": "/page/", "entry": "/page/", "exit": "/page/", "hour": ""}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Questions to the store, as the recorder's backend asks them: one at a time, in a thread."""

    store: Store
    thread: ThreadPoolExecutor

    async def breakdown(self, **asked: Any) -> Mapping[str, Any]:
        return await self._do(lambda: self.store.breakdown(Breakdown(**asked)))

    async def timeseries(self, **asked: Any) -> Mapping[str, Any]:
        return await self._do(lambda: self.store.timeseries(TimeSeries(**asked, timezone="Europe/Berlin")))

    async def answers(self, asked: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        questions = [
            Breakdown(**each) if "by" in each else TimeSeries(**each, timezone="Europe/Berlin") for each in asked
        ]
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.store.answers, questions)

    async def _do(self, question: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(self.thread, question)


class Backend(MemoryBackend):
    """Numbers of the store, everything else from memory."""

    asking: _Asked
    clock: Clock

    async def health(self) -> Mapping[str, Any]:
        # Something was released just before, each time: what has today in it is asked anew.
        return {**await super().health(), "snapshot": int(self.clock()) - 1}

    async def breakdown(self, **asked: Any) -> Mapping[str, Any]:
        return await self.asking.breakdown(**asked)

    async def timeseries(self, **asked: Any) -> Mapping[str, Any]:
        return await self.asking.timeseries(**asked)

    async def answers(self, asked: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return await self.asking.answers(asked)


def fill(store: Store, days: int = DAYS, cells: int = CELLS) -> int:
    """Make the numbers; return how many cells there are."""
    client = store._client
    pairs = [
        (kind, a, b)
        for kind, dimensions in DIMENSIONS.items()
        for a in dimensions
        for b in dimensions
        if a < b and {a, b} & {"page", "country", "referrer", "hour", "service", "choice"}
    ]
    singles = [(kind, a) for kind, dimensions in DIMENSIONS.items() for a in dimensions]
    each_single, each_pair = 60, max(16, (cells - 60 * len(singles)) // len(pairs))
    side = max(2, int(each_pair**0.5))
    specs = [
        *((kind, "", "", "", "", 1, 1) for kind in DIMENSIONS),
        *((kind, a, "", _stem(a), "", each_single, 1) for kind, a in singles),
        *((kind, a, b, _stem(a), _stem(b), each_pair, side) for kind, a, b in pairs),
    ]
    today = NOW.date()
    common = {"site": SITE, "first": today - timedelta(days=days - 1), "today": today}
    text = "[" + ", ".join(map(str, specs)) + "]"
    for table, skipped, number in (("archive", 0, days - LIVE), ("cells", days - LIVE, LIVE)):
        sql = _CELLS.replace("{table}", table).replace("{SPECS}", text)
        client.command(sql, {**common, "skipped": skipped, "days": number})
    client.command(_ARCHIVED, {**common, "days": days - LIVE})
    client.command(_TOTALS, {**common, "days": days, "kinds": list(DIMENSIONS), "now": NOW.astimezone(UTC)})
    while store.archive(SITE, NOW):  # months
        pass
    ((found,),) = client.query("SELECT (SELECT count() FROM archive) + (SELECT count() FROM cells)").result_rows
    return int(found)


def _stem(dimension: str) -> str:
    return _STEMS.get(dimension, f"{dimension} ")


class Asker:
    """One browser, and the app's clock."""

    def __init__(self, client: httpx.Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def __call__(self, path: str, aim: int, name: str = "") -> None:
        times = []
        for _ in range(ROUNDS):
            self._clock.now += 10
            begun = time.perf_counter()
            answer = self._client.get(path)
            times.append((time.perf_counter() - begun) * 1000)
            assert answer.status_code == 200, (path, answer.status_code)
        _say(name or path, statistics.median(times), times[0], aim, len(gzip.compress(answer.content, 6)))


def report(ask: Asker) -> None:
    for view in VIEWS:
        for query in ("", "?period=28d", "?period=12m", "?period=28d&where=page:/page/3"):
            ask(view.path + query, 300)
    for query in ("?period=12m&where=page:/page/3", "?period=12m&graph=visitors", "?period=12m&against=year"):
        ask(f"/{query}", 300)
    ask("/consent?period=12m&graph=accepted", 300)
    for kind, by in (("view", "page"), ("view", "referrer"), ("visit", "entry"), ("blocked", "service")):
        for days in (28, 365, 730):
            start = (NOW.date() - timedelta(days=days - 1)).isoformat()
            path = f"/api/v1/breakdown?kind={kind}&by={by}&from={start}"
            ask(path, 100, f"{kind} by {by}, {days} days")
            if kind == "view" and by != "page":
                ask(f"{path}&where=page:/page/3", 100, f"{kind} by {by} of one page, {days} days")


def _say(name: str, took: float, first: float, aim: int, size: int) -> None:
    sys.stdout.write(f"{name:<48} {took:6.0f} ms   ≤ {aim} ms  first {first:6.0f} ms {size / 1024:8.1f} KB\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] = ()) -> None:
    days = int(arguments[0]) if arguments else DAYS
    with ExitStack() as stack:
        folder = arguments[1] if len(arguments) > 1 else stack.enter_context(tempfile.TemporaryDirectory())
        thread = stack.enter_context(ThreadPoolExecutor(1))
        store = thread.submit(open_store, f"chdb://{Path(folder).resolve() / 'store'}").result()
        thread.submit(store.migrate).result()
        if not thread.submit(_rows, store).result():
            begun = time.perf_counter()
            cells = thread.submit(fill, store, days).result()
            sys.stdout.write(f"{cells:,} cells of {days} days made in {time.perf_counter() - begun:.0f} s\n")
        backend = Backend(people={"ada": person()})
        backend.asking, backend.clock = _Asked(store, thread), Clock()
        app = create_app(backend, settings(remember=REMEMBER), backend.clock, office=_office())
        with serve_asgi(app) as url, httpx.Client(base_url=url, timeout=60) as client:
            client.post("/login", data={"name": "ada", "password": PASSWORD}, headers=OWN)
            report(Asker(client, backend.clock))
        thread.submit(store.close).result()


def _rows(store: Store) -> int:
    ((found,),) = store._client.query("SELECT count() FROM archived_days").result_rows
    return int(found)


def _office() -> MemoryOffice:
    """Notes on days of every period that is asked for."""
    office = MemoryOffice()
    for number in range(6):
        day = NOW.date() - timedelta(days=4 + number)
        office.rows.setdefault(Table.NOTES, {})[str(number)] = {"day": day.isoformat(), "text": "banner"}
    return office


if __name__ == "__main__":
    main(sys.argv[1:])
