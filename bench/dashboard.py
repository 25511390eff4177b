"""How fast the dashboard answers over two years of released numbers, and what a page weighs.

Run: ``python -m bench dashboard``. The numbers are made in the engine itself (chDB, in a folder that is thrown away):
``DAYS`` days of ``CELLS`` cells each, singles of every dimension and pairs, spread as a site's are. Then the admin app
is asked over loopback, each question after another, as one browser does: medians stand beside what they may be.
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
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.admin import PASSWORD, SITE, MemoryBackend, person, settings
from tests.servers import serve_asgi
from vestibule.core.visit import DIMENSIONS
from vestibule.dashboard import create_app
from vestibule.dashboard.panels import VIEWS
from vestibule.store import Breakdown, Store, TimeSeries, open_store

DAYS = 730
CELLS = 10_000
ROUNDS = 9
NOW = datetime(2026, 11, 22, 14, 37, tzinfo=ZoneInfo("Europe/Berlin"))
OWN = {"Sec-Fetch-Site": "same-origin"}

_SINGLES = """
INSERT INTO cells
SELECT {site:String}, {first:Date} + intDiv(number, {each:UInt32}) AS day, {kind:String}, {a:String},
    concat({stem:String}, toString(number % {each:UInt32})), '', '', 'leaf', [],
    toUInt64(20000 / (1 + number % {each:UInt32})) + 5 + cityHash64(number) % 40,
    5 + toUInt64(9000 / (1 + number % {each:UInt32})), 0
FROM numbers({each:UInt32} * {days:UInt32})
"""
_PAIRS = """
INSERT INTO cells
SELECT {site:String}, {first:Date} + intDiv(number, {each:UInt32}) AS day, {kind:String}, {a:String},
    concat({stem:String}, toString(intDiv(number % {each:UInt32}, {side:UInt32}))), {b:String},
    concat({other:String}, toString(number % {side:UInt32})), 'leaf', [],
    toUInt64(2000 / (1 + number % {each:UInt32})) + 5, 5 + toUInt64(900 / (1 + number % {each:UInt32})), 0
FROM numbers({each:UInt32} * {days:UInt32})
"""
_WHOLE = """
INSERT INTO cells
SELECT {site:String}, {first:Date} + number, {kind:String}, '', '', '', '', 'leaf', [], 40000, 15000, 0
FROM numbers({days:UInt32})
"""
_TOTALS = """
INSERT INTO totals
SELECT {site:String}, toDateTime({first:Date}, 'UTC') + number * 300, {kind:String}, 20 + cityHash64(number) % 200
FROM numbers({days:UInt32} * 288)
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

    async def _do(self, question: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(self.thread, question)


class Backend(MemoryBackend):
    """Numbers of the store, everything else from memory."""

    asking: _Asked

    async def breakdown(self, **asked: Any) -> Mapping[str, Any]:
        return await self.asking.breakdown(**asked)

    async def timeseries(self, **asked: Any) -> Mapping[str, Any]:
        return await self.asking.timeseries(**asked)


def fill(store: Store, days: int = DAYS, cells: int = CELLS) -> int:
    """Make the numbers; return how many cells there are."""
    client = store._client
    first = NOW.date() - timedelta(days=days - 1)
    pairs = [
        (kind, a, b)
        for kind, dimensions in DIMENSIONS.items()
        for a in dimensions
        for b in dimensions
        if a < b and {a, b} & {"page", "country", "referrer", "hour", "service", "choice"}
    ]
    singles = [(kind, a) for kind, dimensions in DIMENSIONS.items() for a in dimensions]
    each_single, each_pair = 60, max(16, (cells - 60 * len(singles)) // len(pairs))
    client.command("SET max_partitions_per_insert_block = 0")
    common = {"site": SITE, "first": first, "days": days}
    for kind in DIMENSIONS:
        client.command(_WHOLE, {**common, "kind": kind})
        client.command(_TOTALS, {**common, "kind": kind})
    for kind, a in singles:
        client.command(_SINGLES, {**common, "kind": kind, "a": a, "each": each_single, "stem": _stem(a)})
    for kind, a, b in pairs:
        given = {"kind": kind, "a": a, "b": b, "each": each_pair, "side": max(2, int(each_pair**0.5))}
        client.command(_PAIRS, {**common, **given, "stem": _stem(a), "other": _stem(b)})
    ((found,),) = client.query("SELECT count() FROM cells").result_rows
    return int(found)


def _stem(dimension: str) -> str:
    return _STEMS.get(dimension, f"{dimension} ")


def median(client: httpx.Client, path: str) -> tuple[float, int]:
    """Return the median of some answers in milliseconds, and the bytes of one, compressed."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        answer = client.get(path)
        times.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, (path, answer.status_code)
    return statistics.median(times), len(gzip.compress(answer.content, 6))


def report(client: httpx.Client) -> None:
    for view in VIEWS:
        for query in ("", "?period=28d", "?period=12m", "?period=28d&where=page:/page/3"):
            took, size = median(client, view.path + query)
            _say(f"{view.path}{query}", took, 300, size)
    for kind, by in (("view", "page"), ("view", "referrer"), ("visit", "entry"), ("blocked", "service")):
        for days in (28, 365):
            start = (NOW.date() - timedelta(days=days - 1)).isoformat()
            took, size = median(client, f"/api/v1/breakdown?kind={kind}&by={by}&from={start}")
            _say(f"{kind} by {by}, {days} days", took, 100, size)
            if kind == "view" and by != "page":
                took, size = median(client, f"/api/v1/breakdown?kind={kind}&by={by}&from={start}&where=page:/page/3")
                _say(f"{kind} by {by} of one page, {days} days", took, 100, size)


def _say(name: str, took: float, aim: int, size: int) -> None:
    sys.stdout.write(f"{name:<48} {took:8.0f} ms   ≤ {aim} ms {size / 1024:8.1f} KB\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] = ()) -> None:
    days = int(arguments[0]) if arguments else DAYS
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        store = thread.submit(open_store, f"chdb://{Path(folder) / 'store'}").result()
        thread.submit(store.migrate).result()
        begun = time.perf_counter()
        cells = thread.submit(fill, store, days).result()
        sys.stdout.write(f"{cells:,} cells of {days} days made in {time.perf_counter() - begun:.0f} s\n")
        backend = Backend(people={"ada": person()})
        backend.asking = _Asked(store, thread)
        # Each page asks the store anew: what is remembered is shown at once.
        app = create_app(backend, settings(), NOW.timestamp)
        with serve_asgi(app) as url, httpx.Client(base_url=url, timeout=60) as client:
            client.post("/login", data={"name": "ada", "password": PASSWORD}, headers=OWN)
            report(client)
        thread.submit(store.close).result()


if __name__ == "__main__":
    main(sys.argv[1:])
