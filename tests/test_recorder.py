"""The recorder on chDB: from hits to released numbers, through outages, restarts, imports and the ends of days."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vestibule import journal, link
from vestibule.core.cells import Accumulator, Partial, empty
from vestibule.core.errors import LinkError, StoreError
from vestibule.core.visit import DIMENSIONS, Hit, Settings
from vestibule.journal import Journal
from vestibule.link import Delivery, call
from vestibule.recorder import pipeline, service, writing
from vestibule.recorder.backend import Backend, Calls, RequestError
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Plan, Recorder
from vestibule.recorder.sessions import IDLE, Sessions
from vestibule.recorder.spool import WORKER, Spool, SpoolError
from vestibule.recorder.storing import StoreThread
from vestibule.recorder.writing import Counted, Writing
from vestibule.store import Store

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

SITE = "relaso.com"
BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36"


@pytest.fixture(scope="module")
def tables() -> Iterator[Tables]:
    made = Tables()
    yield made
    made.close()


class Clock:
    """A clock that tests set."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Site:
    """A site's recorder and what is needed to start it again."""

    def __init__(self, folder: Path, tables: Tables, store: str = "") -> None:
        self.folder, self.tables, self.clock = folder, tables, Clock()
        self.plan = Plan(
            site=SITE,
            store=store or f"chdb://{folder / 'store'}",
            secret="a secret of the tests",
            settings=Settings(hosts=frozenset({SITE}), timezone=BERLIN),
            timezone="Europe/Berlin",
            live_every=1,
        )

    def run(self, body: Callable[[Recorder, Calls], Awaitable[None]]) -> None:
        """One life of the recorder, without its loops: tests do what they would do."""

        async def run() -> None:
            recorder = Recorder(self.plan, self.folder, self.tables, clock=self.clock)
            await recorder.start()
            try:
                await body(recorder, Calls(recorder, Backend(recorder)))
            finally:
                await recorder.stop()

        asyncio.run(run())


@pytest.fixture
def site(tmp_path: Path, tables: Tables) -> Site:
    return Site(tmp_path, tables)


def view(visitor: int, path: str, moment: float = NOON, **more: Any) -> Hit:
    return Hit(
        SITE,
        moment,
        address=f"198.51.{visitor // 250}.{visitor % 250 + 1}",
        host=SITE,
        path=path,
        content_type="text/html",
        agent=CHROME.format("131.0.0.0"),
        language="de-DE",
        accept="text/html,*/*",
        fetch_dest="document",
        fetch_mode="navigate",
        fetch_site="none",
        fetch_user="?1",
        **more,
    )


def views(numbers: dict[str, int], moment: float = NOON) -> list[Hit]:
    return [view(visitor, path, moment) for path, number in numbers.items() for visitor in range(number)]


async def settle(recorder: Recorder) -> None:
    await recorder.flush()
    await recorder.ship()
    await recorder.snapshot()


async def pages(calls: Calls, kind: str = "view", day: date = DAY) -> dict[str, int]:
    by = {"view": "page", "visit": "entry"}.get(kind, "choice")
    given = {"kind": kind, "by": by, "from": day.isoformat(), "to": day.isoformat()}
    answer = await calls("breakdown", given)
    found = {row["value"]: row["count"] for row in answer["rows"]}
    return {**found, **({"rare": answer["rare"]["count"]} if answer["rare"]["count"] else {})}


async def total(calls: Calls, kind: str = "view", day: date = DAY) -> int:
    given = {"kind": kind, "interval": "day", "from": day.isoformat(), "to": day.isoformat()}
    return sum(point["count"] for point in (await calls("timeseries", given))["points"])


def test_hits_become_released_numbers(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        rare = [view(100 + number, path) for number, path in enumerate(("/contact", "/contact", "/a", "/b", "/c"))]
        await recorder.hits([*views({"/": 20}), *(view(50 + number, "/pricing") for number in range(10)), *rare])
        await settle(recorder)
        assert await pages(calls) == {"/": 20, "/pricing": 10, "rare": 5}
        assert await total(calls) == 35

    site.run(body)


def test_nothing_on_disk_tells_a_visitor(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        for hits in (views({"/": 30}), views({"/pricing": 30})):
            await recorder.hits(hits)
            await recorder.flush()
            look(site.folder)
            await recorder.ship()
            await recorder.snapshot()
            look(site.folder)
        assert await total(calls) == 60

    site.run(body)
    look(site.folder)


def look(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        for secret in (b"198.51.0.7", b"Mozilla", b"AppleWebKit", b"Chrome/131", b"a secret of the tests"):
            assert secret not in data, path


def test_objectors_count_as_objections_only(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits([view(visitor, "/", objects="gpc") for visitor in range(8)])
        await settle(recorder)
        assert await total(calls) == 0
        assert await pages(calls, "consent") == {"objection": 5}
        assert (await calls("health", {}))["drops"] == {"objection": 8}

    site.run(body)


def everything() -> list[Hit]:
    """Hits of every kind, by visitors of several countries, agents and languages."""
    hits: list[Hit] = []
    for number in range(120):
        visitor = number % 37
        more: dict[str, Any] = {"language": ("de-DE", "en-GB", "fr")[visitor % 3], "kind": ""}
        seen = view(visitor, f"/{'abc'[number % 3]}/{number % 7}", NOON + number)._replace(
            address=f"{(5, 62, 81)[visitor % 3]}.9.{visitor}.7",
            agent=CHROME.format(f"{120 + visitor % 9}.0.0.0"),
            **more,
        )
        hits += [
            seen._replace(asked=number % 2 == 0),
            seen._replace(path="/nowhere", status=404),
            seen._replace(path=f"/files/{number % 3}.pdf", content_type="application/pdf"),
            seen._replace(
                kind="consent", event=(("choice", "accept"), ("purpose", "statistics"), ("surface", "banner"))
            ),
            seen._replace(kind="client", event=(("timezone", "Europe/Berlin"), ("screen", "1440x900"))),
            seen._replace(kind="event", event=(("name", f"deal {number % 4}"), ("value", "won"))),
            seen._replace(kind="outbound", event=(("host", f"partner{number % 5}.example"),)),
            seen._replace(kind="pixel", event=(("name", "newsletter"),)),
            seen._replace(blocked=(("google-analytics", "statistics", "", "unconsented"),), path="/c/1"),
            seen._replace(agent=f"Googlebot/2.{number % 3}"),
        ]
    return hits


def test_released_folded_and_rare_are_all_facts_in_every_dimension_of_every_kind(site: Site) -> None:
    """And the totals are what was served, less the objectors and the drops that are counted."""
    hits = everything()
    objecting = [hit._replace(objects="gpc") for hit in hits[:50:10]]

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits([*hits, *objecting])
        site.clock.now = datetime(2026, 11, 23, 3, tzinfo=UTC).timestamp()
        await recorder.flush()
        counted = dict((await calls("health", {}))["facts"])
        assert await calls("close_day", {"day": "2026-11-22"}) == ["2026-11-22"]
        assert set(counted) == set(DIMENSIONS)
        for kind, dimensions in DIMENSIONS.items():
            assert await total(calls, kind) == counted[kind], kind
            for by in dimensions:
                given = {"kind": kind, "by": by, "from": "2026-11-22", "to": "2026-11-22"}
                answer = await calls("breakdown", given)
                told = sum(row["count"] for row in answer["rows"])
                assert told + answer["rare"]["count"] == counted[kind], (kind, by)
        health = await calls("health", {})
        assert health["drops"] == {"objection": 5, "bot-agent": 120}
        served = sum(1 for hit in hits if not hit.kind) + 5
        exchanges = sum(counted[kind] for kind in ("view", "error", "file"))
        assert exchanges + sum(health["drops"].values()) == served

    site.run(body)


def test_other_sites_are_not_counted(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits([Hit("other.example", NOON, address="198.51.0.1", agent="x")])
        await settle(recorder)
        assert (await calls("health", {}))["drops"] == {"site": 1}

    site.run(body)


@pytest.mark.parametrize("moment", [100.0, -86400.0 * 30, 31_535_999.0, 4_291_747_200.0, 32e9])
def test_a_time_that_cannot_be_stored_is_dropped_and_blocks_nothing(site: Site, moment: float) -> None:
    """A machine whose clock is not set yet, west of Greenwich, and one whose clock is far ahead."""
    settings = replace(site.plan.settings, timezone=ZoneInfo("America/New_York"))
    site.plan = replace(site.plan, settings=settings, timezone="America/New_York")

    async def body(recorder: Recorder, calls: Calls) -> None:
        site.clock.now = moment
        await recorder.hits(views({"/": 8}, moment))
        await recorder._tend()
        await recorder.flush()
        site.clock.now = NOON
        await recorder.hits(views({"/": 9}))
        await recorder.flush()
        await recorder._tend()
        figures = await recorder.figures()
        assert (figures["facts"], figures["drops"]) == ({"view": 9}, {"time": 8})
        assert figures["spool"]["hashes"] == 0
        assert await total(calls) == 9

    site.run(body)


@pytest.mark.parametrize(
    ("day", "moment"), [("1969-12-31", NOON), ("2149-06-07", NOON), (DAY.isoformat(), 2.0**32 + 60)]
)
def test_a_batch_that_cannot_be_encoded_is_given_up(
    site: Site, day: str, moment: float, caplog: pytest.LogCaptureFixture
) -> None:
    """What is behind it is sent; it is counted as shed, and told once and without what is in it."""

    async def body(recorder: Recorder, calls: Calls) -> None:
        keys = recorder._keyring.keys[SITE, DAY.isoformat()]
        cells = Accumulator()
        cells.add(SITE, day, keys, "view", moment, {"page": ("/secret",)}, bytes(16))
        await recorder._writing.write(Counted(cells, {}))
        await recorder._spool.do(Spool.freeze)
        await recorder.hits(views({"/": 12}))
        await recorder.flush()
        for _ in range(2):
            await recorder.ship()
        assert await total(calls) == 12
        assert (await recorder.figures())["spool"]["shed"] == 2  # the kind as a whole, and the page

    site.run(body)
    (told,) = [record.getMessage() for record in caplog.records if record.name == "vestibule.recorder"]
    assert told.endswith("2 cells are given up")
    assert "secret" not in told


def test_a_message_counts_once(site: Site) -> None:
    """However often it comes, also to the recorder that comes after one that was killed: the spool knows."""
    one, two = "0123456789abcdef", "fedcba9876543210"

    async def first(recorder: Recorder, calls: Calls) -> None:
        async def take(number: int, sender: str = one) -> asyncio.Future[None]:
            fresh.append(await recorder.hits(views({"/": 12}), 1, Delivery(sender, number)))
            return recorder.kept()

        fresh: list[bool] = []

        kept = [await take(1), await take(2), await take(2), await take(1), await take(1, two)]
        assert not any(each.done() for each in kept)
        await recorder.flush()
        assert all(each.done() for each in kept)
        assert fresh == [True, True, False, False, True]
        assert recorder.dropped == 3
        again = await take(2)
        assert not again.done()  # it is not looked up where it is; the next write says that all before is there
        await recorder.flush()
        assert again.done()
        await recorder.ship()
        assert await total(calls) == 36
        await take(3)  # nobody writes it
        recorder._intake.swap()

    async def second(recorder: Recorder, calls: Calls) -> None:
        for sender, number in ((one, 2), (one, 3), (two, 1), (two, 2), (one, 3)):
            await recorder.hits(views({"/": 12}), 0, Delivery(sender, number))
        await recorder.flush()
        await recorder.ship()
        assert await total(calls) == 60

    site.run(first)
    site.run(second)


def test_a_message_is_not_kept_before_it_can_be_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of those that wait for a disk that stays full are told no more; nothing is counted twice for that."""
    real, full = Spool.append, [True]

    def append(spool: Spool, partial: Partial, reached: Mapping[str, int]) -> int:
        if full:
            raise SpoolError("spool: database or disk is full")
        return real(spool, partial, reached)

    monkeypatch.setattr(Spool, "append", append)
    monkeypatch.setattr(writing, "_MOST_WAITING", 3)

    async def body(recorder: Recorder, calls: Calls) -> None:
        kept = []
        for number in range(1, 6):
            assert await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", number))
            kept.append(recorder.kept())
            await recorder.flush()
        assert [each.cancelled() for each in kept] == [True, True, False, False, False]
        full.clear()
        await recorder.flush()
        assert all(each.done() for each in kept)
        await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        await recorder.flush()
        await recorder.ship()
        assert await total(calls) == 60

    site.run(body)


def test_a_write_goes_on_where_the_caller_is_cancelled(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the loop is that closes a day, when the recorder is told to end."""
    real, begun = writing._gather, threading.Event()

    def slow(*given: Any) -> Partial:
        begun.set()
        time.sleep(0.3)
        return real(*given)

    async def first(recorder: Recorder, _: Calls) -> None:
        await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        kept = recorder.kept()
        with monkeypatch.context() as patched:
            patched.setattr(writing, "_gather", slow)
            flushing = asyncio.create_task(recorder.flush())
            await asyncio.to_thread(begun.wait)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            assert flushing.cancelled()
            assert not kept.done()
            await asyncio.wait_for(asyncio.shield(kept), 10)

    async def second(recorder: Recorder, calls: Calls) -> None:
        assert not await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        await recorder.flush()
        await recorder.ship()
        assert await total(calls) == 12

    site.run(first)
    site.run(second)


def test_a_write_that_fails_whatever_for_is_made_up_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failing = Partial.to_bytes, [True]

    def to_bytes(partial: Partial) -> bytes:
        if failing:
            raise MemoryError("198.51.0.7")
        return real(partial)

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        kept = recorder.kept()
        monkeypatch.setattr(Partial, "to_bytes", to_bytes)
        await recorder.flush()
        assert not kept.done()
        assert (await recorder.figures())["spool"]["error"] == "MemoryError"
        assert await recorder._spool.do(Spool.reached, WORKER + "0123456789abcdef") == 0
        failing.clear()
        await recorder.flush()
        assert kept.result() is None
        assert "error" not in (await recorder.figures())["spool"]
        await recorder.ship()
        assert await total(calls) == 12

    site.run(body)


def test_what_cannot_even_be_gathered_is_not_said_to_be_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Partial:
        raise MemoryError

    async def body(recorder: Recorder, _: Calls) -> None:
        await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        kept = recorder.kept()
        with monkeypatch.context() as patched:
            patched.setattr(writing, "_gather", failing)
            with pytest.raises(MemoryError):
                await recorder.flush()
        assert kept.cancelled()
        await recorder.flush()
        assert await recorder._spool.do(Spool.reached, WORKER + "0123456789abcdef") == 0

    site.run(body)


def test_what_was_written_is_kept_whatever_becomes_of_the_merging(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise MemoryError

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        kept = recorder.kept()
        with monkeypatch.context() as patched:
            patched.setattr(Spool, "_merge", failing)
            await recorder.flush()
        assert kept.result() is None
        await recorder.flush()
        await recorder.ship()
        assert await total(calls) == 12

    site.run(body)


def test_a_message_that_cannot_be_counted_costs_itself_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends, and its sender gives it again with all the others that it holds."""
    sender = "0123456789abcdef"

    async def body(recorder: Recorder, calls: Calls) -> None:
        real = recorder._pipeline._count

        def count(hit: Hit, day: str) -> None:
            if hit.path == "/bad":
                raise ZeroDivisionError
            real(hit, day)

        monkeypatch.setattr(recorder._pipeline, "_count", count)
        assert await recorder.hits(views({"/": 12}), 0, Delivery(sender, 1))
        with pytest.raises(ZeroDivisionError):
            await recorder.hits(views({"/": 12, "/bad": 1}), 0, Delivery(sender, 2))
        for number in (1, 2):
            assert not await recorder.hits(views({"/": 12, "/bad": 1}), 0, Delivery(sender, number))
        assert await recorder.hits(views({"/": 12}), 0, Delivery(sender, 3))
        await settle(recorder)
        assert await recorder._spool.do(Spool.reached, WORKER + sender) == 3
        assert await total(calls) == 36

    site.run(body)


def test_halves_of_characters_in_any_field_are_counted(site: Site) -> None:
    async def body(recorder: Recorder, _: Calls) -> None:
        fields = ("agent", "path", "query", "host", "referrer", "language", "accept", "content_type", "purpose")
        for number, field in enumerate(fields, 1):
            odd: dict[str, Any] = {field: "\ud800x"}
            assert await recorder.hits([view(1, "/")._replace(**odd)], 0, Delivery("0123456789abcdef", number))
        await recorder.flush()

    site.run(body)


def test_of_workers_that_wrote_long_ago_the_spool_keeps_nothing(tmp_path: Path) -> None:
    """Each start of one makes another; logs are kept for ever. A full disk keeps no spool from being opened."""
    path = tmp_path / "spool.sqlite"
    spool = Spool(path)
    spool.append(empty(), {"0123": 9})
    for number in range(0, 1100, 100):
        spool.append(empty(), {f"{WORKER}{each:016x}": 1 for each in range(number, number + 100)})
    spool.append(empty(), {f"{WORKER}{0:016x}": 2})
    rows = "SELECT count(*) FROM imports"
    assert spool._one(rows) == 1101
    spool.sent("none")
    assert spool._one(rows) == 1001
    assert [spool.reached(f"{WORKER}{each:016x}") for each in (0, 1, 100, 101, 1099)] == [2, 0, 0, 1, 1]
    assert spool.reached("0123") == 9
    spool.append(empty(), {f"{WORKER}{each:016x}": 1 for each in range(5000, 6000)})
    spool._all("PRAGMA wal_checkpoint(TRUNCATE)")
    spool.close()
    # Nothing can be written: no byte may be added to any file.
    code = (
        "import resource, signal, sys; from pathlib import Path; from vestibule.recorder.spool import Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (32768, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "spool = Spool(Path(sys.argv[1])); print(spool._one('SELECT count(*) FROM imports')); spool.close()"
    )
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(told.stdout) == 2001
    spool = Spool(path)
    assert spool._one(rows) == 1001
    spool.close()


def test_a_recorder_that_ends_takes_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not leave those waiting for its disk who gave it something before."""
    real, kept = Writing.write, []

    async def body(recorder: Recorder, _: Calls) -> None:
        async def write(self: Writing, counted: Counted) -> bool:
            with pytest.raises(SpoolError):
                await recorder.hits(views({"/": 1}), 0, Delivery("0123456789abcdef", 2))
            with pytest.raises(SpoolError):
                await recorder.hits(views({"/": 1}))
            with pytest.raises(SpoolError):
                recorder.kept()
            return await real(self, counted)

        await recorder.hits(views({"/": 12}), 0, Delivery("0123456789abcdef", 1))
        kept.append(recorder.kept())
        monkeypatch.setattr(Writing, "write", write)
        monkeypatch.setattr(Spool, "append", refused)

    def refused(*_: Any) -> int:
        raise SpoolError("spool: database or disk is full")

    site.run(body)
    assert kept[0].cancelled()


def test_a_batch_that_the_store_refuses_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes from the server or the network may be otherwise the next time."""

    def refused(*_: Any, **__: Any) -> None:
        raise StoreError("store: it does not take what was counted: TOO_MANY_PARTS 252")

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}))
        await recorder.flush()
        with monkeypatch.context() as patched:
            patched.setattr(Store, "insert_cells", refused)
            with pytest.raises(StoreError):
                await recorder.ship()
        assert (await recorder.figures())["spool"]["shed"] == 0
        await settle(recorder)
        assert await total(calls) == 12

    site.run(body)


def test_a_restart_changes_nothing(site: Site) -> None:
    """Visitors who come before and after it are the same ones, and what was not shipped is shipped then."""

    async def before(recorder: Recorder, _: Calls) -> None:
        await recorder.hits(views({"/": 12}))
        await recorder.flush()

    async def after(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}))
        await settle(recorder)
        assert await total(calls) == 24
        answer = await calls("breakdown", {"by": "page", "from": "2026-11-22", "to": "2026-11-22"})
        assert answer["rows"] == [{"value": "/", "count": 20, "visitors": 10}]

    site.run(before)
    site.run(after)


def test_what_comes_late_is_on_disk_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers kept while there was no recorder has waited long enough."""
    for name in ("FLUSH_EVERY", "_LATE"):
        monkeypatch.setattr(service, name, 3600.0)

    async def body(recorder: Recorder, calls: Calls) -> None:
        recorder.run()
        await recorder.hits(views({"/": 8}, NOON - 3000))
        await asyncio.sleep(0.5)
        assert (await recorder.figures())["spool"]["hashes"] == 0
        await recorder.hits(views({"/": 8}, NOON - 3700))
        for _ in range(600):
            if (await recorder.figures())["spool"]["hashes"]:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("it was not written")

    site.run(body)


def test_a_kill_costs_less_than_a_second() -> None:
    """That of a worker: what it has not handed over, as long as it waits for more of it or looks for a recorder. Of
    both together: what the worker holds, too, until the recorder has written it. A write of a second's facts takes a
    tenth of one, on a slow disk."""
    writing = 0.1
    assert link.TRY_AGAIN + link.FLUSH_EVERY <= 1
    assert link.FLUSH_EVERY + service.FLUSH_EVERY + writing <= 1


@pytest.mark.parametrize("away", [False, True], ids=["", "the store is away meanwhile"])
def test_an_import_is_written_and_sent_while_it_goes_on(
    site: Site, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fact once, and as many lines as were counted, however often it was written in between."""
    monkeypatch.setattr(pipeline, "MAX_CELLS", 500)
    real = Store.insert_cells
    sent: list[str] = []

    def insert(store: Store, batch: str, partial: Partial) -> None:
        if away and not finishing:
            raise StoreError("store: it does not answer")
        sent.append(batch)
        real(store, batch, partial)

    monkeypatch.setattr(Store, "insert_cells", insert)
    finishing: list[bool] = []
    yesterday = NOON - 86_400

    async def body(recorder: Recorder, calls: Calls) -> None:
        for number in range(30):
            hits = [view(visitor, f"/page-{number % 3}", yesterday + number) for visitor in range(7)]
            rows = [hit.to_json() for hit in hits]
            await calls("count", {"hits": rows, "known_by": ["a line"], "lines": 7 * number + 7})
            if number % 10 == 9 and not away and recorder.importing._sending is not None:
                await recorder.importing._sending
        before = len(set(sent))
        assert before == 0 if away else before > 1
        finishing.append(True)
        await calls("finish", {})
        assert len(set(sent)) > before
        day = DAY - timedelta(days=1)
        assert await total(calls, day=day) == 210
        assert await pages(calls, day=day) == {f"/page-{number}": 70 for number in range(3)}
        assert await total(calls, kind="visit", day=day) == 7
        assert await calls("counted", {"known_by": [[1, "a line"]]}) == 210

    site.run(body)


def test_while_the_store_is_away_nothing_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = StoreThread.do

    async def away(self: StoreThread, action: Any, *args: Any, **kwargs: Any) -> Any:
        raise StoreError("store: it does not answer")

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}))
        await recorder.flush()
        with pytest.raises(StoreError):
            await recorder.ship()
        await recorder.record({"id": "r1", "site": SITE, "time": NOON})
        monkeypatch.setattr(StoreThread, "do", real)
        await recorder.hits(views({"/": 12}))
        await settle(recorder)
        assert await total(calls) == 24
        assert (await calls("consent_record", {"id": "r1"}))["site"] == SITE
        # The salt that was made up meanwhile became the store's, so nobody counts twice.
        answer = await calls("breakdown", {"by": "page", "from": "2026-11-22", "to": "2026-11-22"})
        assert answer["rows"] == [{"value": "/", "count": 20, "visitors": 10}]

    monkeypatch.setattr(StoreThread, "do", away)
    site.run(body)


def test_a_reply_that_is_lost_counts_nothing_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Store.insert_totals
    failures = iter([True, True, False])

    def lost(self: Store, batch: str, totals: Any) -> None:
        real(self, batch, totals)
        if next(failures):
            raise StoreError("store: connection reset")

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}))
        await recorder.flush()
        for _ in range(2):
            with pytest.raises(StoreError):
                await recorder.ship()
        await settle(recorder)
        assert await total(calls) == 12
        assert await pages(calls) == {"/": 10}

    monkeypatch.setattr(Store, "insert_totals", lost)
    site.run(body)


def test_days_are_closed_two_hours_after_they_end(site: Site) -> None:
    midnight = datetime(2026, 11, 23, tzinfo=BERLIN).timestamp()

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 13, "/pricing": 7}))
        site.clock.now = midnight + 7199
        assert await recorder.close_days() == []
        site.clock.now = midnight + 7200
        assert await recorder.close_days() == ["2026-11-22"]
        assert await recorder.close_days() == []
        assert await pages(calls) == {"/": 13, "/pricing": 7}
        assert await pages(calls, "visit") == {"/": 13}
        await recorder.hits(views({"/": 5}))
        await settle(recorder)
        assert await pages(calls) == {"/": 13, "/pricing": 7}
        assert (await calls("health", {}))["drops"]["closed"] == 5

    site.run(body)


def test_a_closed_day_s_salt_is_nowhere_on_disk(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 13}))
        await settle(recorder)
        salt = await recorder.store.do(Store.salt, SITE, DAY, b"")
        assert holding(site.folder, salt)
        site.clock.now = datetime(2026, 11, 23, 3, tzinfo=BERLIN).timestamp()
        assert await calls("close_day", {"day": "2026-11-22"}) == ["2026-11-22"]
        salts.append(salt)

    salts: list[bytes] = []
    site.run(body)
    assert not holding(site.folder, salts[0])


def holding(folder: Path, salt: bytes) -> list[Path]:
    """The files that hold a salt, as bytes or digits."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if salt in (data := path.read_bytes()) or salt.hex().encode() in data]


def test_what_waited_too_long_for_a_closed_day_is_refused_and_counted(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 13}))
        await recorder.flush()
        # Another recorder has closed the day meanwhile.
        await recorder.store.do(
            Store.close_day, SITE, DAY, k=5, owner="another", now=datetime(2026, 11, 23, 3, tzinfo=UTC)
        )
        await settle(recorder)
        assert recorder.refused > 0
        assert await total(calls) == 0

    site.run(body)


def test_what_was_under_way_when_the_day_was_closed_is_refused_and_counted(site: Site) -> None:
    """It was seen to be open, closed by another, and then the batch arrived."""

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 13}))
        await settle(recorder)
        await recorder.hits(views({"/": 1}))
        await recorder.flush()
        batch = await recorder._spool.do(Spool.freeze)
        assert batch is not None
        later = datetime(2026, 11, 23, 3, tzinfo=UTC)
        await recorder.store.do(Store.close_day, SITE, DAY, k=5, owner="another", now=later)
        await recorder.store.do(Store.insert_cells, batch.id, batch.partial)
        await recorder._spool.do(Spool.sent, batch.id)
        site.clock.now = later.timestamp()
        for opened in (1, 0):
            assert await recorder.close_days() == []
            assert (await recorder.figures())["days"]["open"] == opened
        assert recorder.refused >= len(batch.partial)
        assert await recorder.store.do(Store.open_days) == []
        assert await total(calls) == 13

    site.run(body)


def test_the_day_is_the_site_s(site: Site) -> None:
    """23:30 UTC is half past midnight in Berlin: another day, other keys, other visitors."""
    late = datetime(2026, 11, 22, 23, 30, tzinfo=UTC).timestamp()

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits([*views({"/": 6}), *views({"/": 7}, late)])
        await settle(recorder)
        assert await total(calls) == 6
        assert await total(calls, day=DAY + timedelta(days=1)) == 7
        assert {day for _, day in await recorder.store.do(Store.open_days)} >= {DAY, DAY + timedelta(days=1)}

    site.run(body)


def test_visits(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        for visitor in range(6):
            for step, path in enumerate(("/", "/pricing", "/contact")):
                await recorder.hits([view(visitor, path, NOON + 60 * step)])
        site.clock.now = NOON + 120 + IDLE + 1
        await recorder.flush()
        await settle(recorder)
        assert await total(calls, "visit") == 6
        for by, value in (("entry", "/"), ("exit", "/contact"), ("depth", "3"), ("duration", "1-2 min")):
            given = {"kind": "visit", "by": by, "from": "2026-11-22", "to": "2026-11-22"}
            assert [row["value"] for row in (await calls("breakdown", given))["rows"]] == [value]

    site.run(body)


def test_sessions_are_bounded_and_end_in_order() -> None:
    sessions = Sessions(limit=3)
    ended = []
    for number in range(5):
        ended += list(sessions.view(SITE, "d", bytes([number]), float(number), {"page": ("/",)}))
    assert [session.visitor for session in ended] == [b"\0", b"\1"]
    assert len(sessions) == 3
    assert list(sessions.view(SITE, "d", b"\2", 100.0, {"page": ("/b",)})) == []
    assert [session.visitor for session in sessions.ended(IDLE + 4.5)] == [b"\3", b"\4"]
    (again,) = sessions.view(SITE, "d", b"\2", 100.0 + IDLE + 1, {"page": ("/c",)})
    assert (again.values["depth"], again.values["exit"]) == (("2",), ("/b",))
    assert [session.entry for session in sessions.all()] == [("/c",)]


def test_visits_of_two_logs_of_a_day_are_not_put_together() -> None:
    """Of which the first goes on until late, and the second begins early."""
    sessions, hour = Sessions(), 3600.0

    def view(time: float, page: str) -> list[Any]:
        return [session.entry for session in sessions.view(SITE, "d", b"v", time, {"page": (page,)})]

    assert view(23 * hour, "/late") == []
    assert view(1 * hour, "/early") == [("/late",)]
    assert view(2 * hour, "/later") == [("/early",)]
    assert view(2 * hour - 60, "/out-of-order") == []
    assert view(2 * hour + 60, "/last") == []
    (last,) = sessions.all()
    assert (last.entry, last.exit, last.views, last.last - last.first) == (("/later",), ("/last",), 3, 120)


def test_imports_close_the_days_they_bring(site: Site) -> None:
    days = [DAY - timedelta(days=back) for back in (3, 2, 1)]

    def rows(day: date) -> list[Any]:
        moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
        return [hit.to_json() for hit in views({"/": 9, "/pricing": 6}, moment)]

    async def body(recorder: Recorder, calls: Calls) -> None:
        for day in days:
            await calls("count", {"hits": rows(day)})
            await recorder.flush()
            await recorder.ship()
            # The recorder's own loop must not close a day that the import may still add to.
            assert await recorder.close_days() == []
        figures = await calls("finish", {})
        assert figures["closed"] == [day.isoformat() for day in days]
        assert figures["facts"] == {"view": 45, "visit": 27}
        for day in days:
            assert await pages(calls, day=day) == {"/": 9, "/pricing": 6}
        await calls("count", {"hits": rows(days[0])})
        assert (await calls("finish", {}))["drops"] == {"closed": 15}
        assert await pages(calls, day=days[0]) == {"/": 9, "/pricing": 6}

    site.run(body)


def test_a_full_disk_keeps_what_was_counted_in_memory(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        pages_ = await recorder._spool.do(limit, None)
        await recorder._spool.do(limit, pages_)
        for _ in range(3):
            await recorder.hits(views({f"/{number}": 8 for number in range(40)}))
            await recorder.flush()
        assert "full" in (await recorder.figures())["spool"]["error"]
        await recorder._spool.do(limit, 1_000_000)
        await settle(recorder)
        assert "error" not in (await recorder.figures())["spool"]
        assert await total(calls) == 3 * 320

    site.run(body)


def limit(spool: Any, number: int | None) -> int:
    pragma = "PRAGMA page_count" if number is None else f"PRAGMA max_page_count = {number}"
    return int(spool._database.execute(pragma).fetchone()[0])


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("nonsense", {}, "no such call"),
    ("breakdown", {}, "by"),
    ("breakdown", {"by": "page", "from": "yesterday"}, "YYYY-MM-DD"),
    ("breakdown", {"by": "page", "from": "2026-11-23", "to": "2026-11-22"}, "after"),
    ("breakdown", {"by": "page", "where": "country"}, "DIMENSION:VALUE"),
    ("breakdown", {"by": "page", "limit": -1}, "limit"),
    ("breakdown", {"by": "page", "limit": "many"}, "limit"),
    ("close_day", {"day": "2026-11-22"}, "not over"),
    ("count", {"hits": [["x"]]}, "hits"),
]


def test_bad_calls_are_refused_by_name(site: Site) -> None:
    async def body(_: Recorder, calls: Calls) -> None:
        for name, given, words in BAD:
            with pytest.raises(RequestError, match=words):
                await calls(name, given)

    site.run(body)


def test_accounts_through_the_calls(site: Site) -> None:
    async def body(_: Recorder, calls: Calls) -> None:
        await calls("add_user", {"name": "ada", "password_hash": "$argon2id$x", "role": "officer"})
        assert await calls("users", {}) == [{"name": "ada", "role": "officer"}]
        assert await calls("remove_user", {"name": "ada"}) is True
        assert await calls("users", {}) == []

    site.run(body)


def test_a_new_configuration_is_taken_up(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        folding = Settings(hosts=frozenset({SITE}), timezone=BERLIN, pages={"/deals/*": "/deals/:id"})
        recorder.reload(replace(recorder.plan, settings=folding, k=2))
        await recorder.hits([*views({"/deals/a": 1, "/deals/b": 2, "/": 4})])
        await settle(recorder)
        assert await pages(calls) == {"/": 4, "/deals/:id": 2}

    site.run(body)


# -- the process -------------------------------------------------------------------------------------------------------

CONFIG = """
site: {{name: relaso.com, hosts: [relaso.com], upstream: "http://127.0.0.1:9"}}
analytics: {{live_every: 1s}}
store: {store}
dashboard: {{listen: "127.0.0.1:{port}"}}
"""


class Process:
    """A recorder process."""

    def __init__(self, folder: Path, port: int, store: str = "") -> None:
        self.folder = folder
        (folder / "config").mkdir(exist_ok=True)
        embedded = f"chdb://{folder / 'store'}"
        (folder / "config" / "site.yaml").write_text(CONFIG.format(store=embedded, port=port))
        self.socket = str(folder / "state" / "recorder.sock")
        self.command = [sys.executable, "-m", "vestibule.counting"]
        self.command += ["--config", str(folder / "config"), "--state", str(folder / "state")]
        self.environ = {
            **os.environ,
            "VESTIBULE_SECRET": "secret of the tests",
            "VESTIBULE_STORE": store or embedded,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.start()

    def start(self) -> None:
        self.spawn()
        self.until(lambda: self.call("health")["store"] == "ok")

    def spawn(self) -> None:
        self.process = subprocess.Popen(self.command, env=self.environ, stderr=subprocess.PIPE, text=True)

    def call(self, name: str, **given: Any) -> Any:
        return call(self.socket, name, **given)

    def until(self, true: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                if true():
                    return
            except LinkError:
                assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)

    def kill(self, number: signal.Signals) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=30)[1]


def send(path: str, hits: Sequence[Hit]) -> None:
    from vestibule.link import Sender

    async def run() -> None:
        sender = Sender(path)
        for hit in hits:
            sender.send(hit)
        running = asyncio.create_task(sender.run())
        await sender.record({"id": f"r{len(hits)}", "site": SITE, "time": time.time()})
        await sender.close()
        await running

    asyncio.run(run())


def test_a_process_that_is_killed_and_one_that_is_ended(tmp_path: Path) -> None:
    from tests.servers import free_port

    recorder = Process(tmp_path, free_port())
    try:
        now = time.time()
        send(recorder.socket, views({"/": 30}, now))
        # Acknowledged records and what is older than a second survive any kill.
        recorder.until(lambda: recorder.call("health")["facts"].get("view") == 30)
        time.sleep(1.2)
        recorder.kill(signal.SIGKILL)
        # What workers wrote to the journal meanwhile is in the first answer that they get.
        revoked = [f"{number:032d}" for number in range(600)]
        write_journal(tmp_path / "state", [{"revoke": [mark], "time": int(now * 1000)} for mark in revoked])
        recorder.spawn()
        answers: list[dict[str, Any]] = []

        def answered() -> bool:
            answers.append(recorder.call("revocations", epoch="", after=0))
            return True

        recorder.until(answered)
        assert [mark for mark, _ in answers[0]["rows"]] == revoked
        recorder.until(lambda: recorder.call("health")["store"] == "ok")
        send(recorder.socket, views({"/pricing": 20}, now))
        recorder.until(lambda: recorder.call("health")["facts"].get("view") == 20)
        assert memory(recorder.process.pid) <= 500
        assert recorder.process.stderr is not None
        said = ""
        while "first login http://127.0.0.1" not in said:
            line = recorder.process.stderr.readline()
            assert line, said
            said += line
        said += recorder.kill(signal.SIGTERM)
        assert recorder.process.returncode == 0
        assert "Traceback" not in said
        recorder.start()
        recorder.call("flush")
        days = sorted({datetime.fromtimestamp(now, UTC).date(), datetime.now(UTC).date()})
        given = {"from": days[0].isoformat(), "to": days[-1].isoformat()}
        answer = recorder.call("timeseries", interval="day", **given)
        assert sum(point["count"] for point in answer["points"]) == 50
        answer = recorder.call("breakdown", by="page", **given)
        assert {row["value"]: row["visitors"] for row in answer["rows"]} == {"/": 30, "/pricing": 20}
        recorder.until(lambda: recorder.call("consent_record", id="r20") is not None)
        assert recorder.call("consent_record", id="r30") is not None
    finally:
        if recorder.process.poll() is None:
            recorder.kill(signal.SIGKILL)


def write_journal(state: Path, records: Sequence[dict[str, Any]]) -> None:
    """As a worker does that finds no recorder; all but the first without waiting for the disk."""
    Journal(state).append(records[0])
    (path,) = (state / journal.FOLDER).iterdir()
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records[1:])


def memory(process: int) -> float:
    """Resident megabytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def test_without_a_secret_or_configuration_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(CONFIG.format(store="chdb:///nowhere", port=1))
    command = [sys.executable, "-m", "vestibule.counting", "--state", str(tmp_path / "state"), "--config"]
    environ = {key: value for key, value in os.environ.items() if key != "VESTIBULE_SECRET"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    for folder, words in ((tmp_path, "VESTIBULE_SECRET is not set"), (tmp_path / "nowhere", "no such folder")):
        done = subprocess.run(
            [*command, str(folder)], env=environ, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert words in done.stderr
