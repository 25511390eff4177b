"""The store over the network: the same contract as on chDB, and what a network adds to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.clickhouse_http import Server
from tests.servers import free_port
from tests.test_recorder import Clock, Site, settle, tables, total, views
from tests.test_store import DAY, LATER, NEXT, NOON, NUMBERS, SITE, add, breakdown, timeseries
from tests.test_store import pages as stored_pages
from tests.test_store import views as partial_of
from vestibule.core.errors import StoreError
from vestibule.core.keys import SALT_BYTES
from vestibule.recorder.backend import Calls
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Recorder
from vestibule.store import Store, User, engine, files, open_store

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

__all__ = ["tables"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("clickhouse"), free_port())
    yield started
    started.kill()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    before = open_store(server.dsn)
    before._client.command("DROP DATABASE vestibule")
    before.close()
    opened = open_store(server.dsn)
    opened.migrate()
    yield opened
    opened.close()


def test_a_day_over_the_network(store: Store) -> None:
    assert store.migrate() == []
    store.keep(86_400 * 40)
    salt = store.salt(SITE, DAY, b"a" * SALT_BYTES)
    assert store.salt(SITE, DAY, b"b" * SALT_BYTES) == salt
    for _ in range(2):
        add(store, partial_of(NUMBERS))
    assert store.release(SITE, DAY, k=5, owner="o")
    assert stored_pages(store) == {"/": 35, "/blog/a": 5, "/blog/* (others)": 5, "rare": 0}
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert stored_pages(store) == {"/": 35, "/blog/a": 9, "/blog/* (others)": 7, "rare": 0}
    assert store.open_days() == []
    answer = timeseries(store, site=SITE, kind="view", interval="hour", start=DAY, end=DAY, timezone="Europe/Berlin")
    assert answer["points"] == [{"time": "2026-11-22T13:00", "count": 51}]


def test_people_over_the_network(store: Store) -> None:
    store.add_user(User("it's ada", "hash", "officer"), LATER)
    assert store.users() == [User("it's ada", "hash", "officer")]
    store.insert_consent("c1", [{"id": "r1", "site": SITE, "time": 1}])
    assert store.consent_record(SITE, "r1") is not None


def test_a_reply_that_is_lost_after_the_commit(store: Store, server: Server) -> None:
    """Whether the client repeats the batch by itself or raises: it counts once."""
    server.fail({"match": "incoming", "kind": "lost"}, {"match": "INTO totals", "kind": "lost"})
    for _ in range(3):
        try:
            add(store, partial_of(NUMBERS))
            break
        except StoreError:
            continue
    assert store._client.query("SELECT sum(count) FROM totals").result_rows == [(51,)]
    assert store._client.query("SELECT sum(count) FROM open_cells WHERE a = ''").result_rows == [(51,)]


def test_an_answer_that_comes_too_late_counts_once(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is sent again while the server is still at it: it carries both out, one after the other."""
    monkeypatch.setattr(engine, "_QUERY_TIMEOUT", 1)
    impatient = open_store(server.dsn)
    server.fail(*({"match": match, "kind": "slow", "seconds": 2} for match in ("incoming", "INTO totals")))
    given_up = 0
    for _ in range(8):
        try:
            add(impatient, partial_of(NUMBERS))
            break
        except StoreError:
            given_up += 1
    impatient.close()
    assert 0 < given_up < 8
    time.sleep(2)
    assert store._client.query("SELECT sum(count) FROM totals").result_rows == [(51,)]
    assert store._client.query("SELECT sum(count) FROM open_cells WHERE a = ''").result_rows == [(51,)]


def test_a_batch_is_known_again_after_more_others_than_before(store: Store) -> None:
    """Of tables that were made with a small window; and so it is by the window that it is known."""
    widened = [statement for _, name, found in files.migrations() if name == "windows" for statement in found[:2]]
    counted = []
    for day, statements in ((DAY, []), (NEXT, widened)):
        for table in ("open_cells", "totals"):
            store._client.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 3")
        for statement in statements:
            store._client.command(statement)
        for batch in ("first", "b1", "b2", "b3", "b4", "first"):
            add(store, partial_of({("/", "DE"): 1}, day), f"{day} {batch}")
        for table, where in (("open_cells", "a = '' AND day"), ("totals", "toDate(minute)")):
            found = store._client.query(f"SELECT sum(count) FROM {table} WHERE {where} = '{day}'")
            counted.append(found.result_rows[0][0])
    assert counted == [6, 6, 5, 5]


def test_many_that_start_at_once_make_the_tables_once(server: Server, store: Store) -> None:
    tables = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    one = store._client.query(tables).result_rows
    store._client.command("DROP DATABASE vestibule")

    def start(_: int) -> list[str]:
        opened = open_store(server.dsn)
        try:
            opened.migrate()
            return opened.migrate()
        finally:
            opened.close()

    with ThreadPoolExecutor(8) as together:
        assert list(together.map(start, range(8))) == [[]] * 8
    assert store._client.query(tables).result_rows == one
    applied = store._client.query("SELECT DISTINCT number, name FROM schema_migrations ORDER BY ALL").result_rows
    assert applied == [(number, name) for number, name, _ in files.migrations()]


def test_a_server_that_fails_is_an_error_and_may_be_asked_again(store: Store, server: Server) -> None:
    server.fail({"match": "incoming", "kind": "error"})
    with pytest.raises(StoreError, match="202"):
        add(store, partial_of(NUMBERS))
    add(store, partial_of(NUMBERS))
    assert store._client.query("SELECT sum(count) FROM open_cells WHERE a = ''").result_rows == [(51,)]


def test_a_server_that_was_killed_comes_back_with_everything(server: Server, store: Store) -> None:
    add(store, partial_of(NUMBERS))
    server.kill()
    with pytest.raises(StoreError, match="store: "):
        add(store, partial_of(NUMBERS, date(2026, 11, 21)), "b2")
    server.start()
    add(store, partial_of(NUMBERS))
    add(store, partial_of(NUMBERS, date(2026, 11, 21)), "b2")
    assert store._client.query("SELECT sum(count) FROM totals").result_rows == [(102,)]


def released(store: Store) -> list[tuple[Any, ...]]:
    """All that is released, but for visits: they are each recorder's own."""
    columns = "kind, a, a_value, b, b_value, part, path, count, visitors, provisional"
    found = store._client.query(f"SELECT {columns} FROM cells WHERE kind != 'visit' ORDER BY ALL").result_rows
    return [tuple(row) for row in found]


def test_two_recorders_on_one_store_are_as_good_as_one(
    store: Store, server: Server, tmp_path: Path, tables: Tables
) -> None:
    """Visitors spread over both count once, and either may close the day: the same released table, number by number."""
    hits = views({"/": 14, "/pricing": 9, "/blog/a": 7, "/blog/b": 6, "/a": 4, "/b": 3})
    hits = [
        hit._replace(referrer="https://www.google.com/" if place % 2 else "", query="utm_campaign=x" * (place % 3 == 0))
        for place, hit in enumerate(hits)
    ]
    clock = Clock()

    async def run() -> None:
        recorders = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            site = Site(tmp_path / name, tables, server.dsn)
            recorder = Recorder(site.plan, site.folder, tables, clock=clock)
            await recorder.start()
            recorders.append(recorder)
        for number, hit in enumerate([*hits, *hits]):
            await recorders[(number // 3) % 2].hits([hit])
        for recorder in recorders:
            await recorder.flush()
            await recorder.ship()
        clock.now = datetime(2026, 11, 23, 3, tzinfo=UTC).timestamp()
        closed = await asyncio.gather(*(recorder.close_days() for recorder in recorders))
        assert sorted(map(len, closed)) == [0, 1]
        for recorder in recorders:
            await recorder.stop()

    asyncio.run(run())
    both = released(store)
    assert len([row for row in both if row[3]]) > 20

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits([*hits, *hits])
        await settle(recorder)
        alone.clock.now = clock.now
        await calls("close_day", {"day": "2026-11-22"})
        assert await total(calls) == 2 * len(hits)
        assert await recorder.store.do(released) == both

    alone = Site(tmp_path, tables)
    alone.run(body)


def test_two_sites_in_two_time_zones_close_their_own_days(
    store: Store, server: Server, tmp_path: Path, tables: Tables
) -> None:
    """On one store, days of the same date end at different times, and each site's recorder closes its own only."""
    clock, names = Clock(), {"auckland.example": "Pacific/Auckland", "relaso.com": "America/Los_Angeles"}

    async def run() -> None:
        recorders = {}
        for name, zone in names.items():
            (tmp_path / name).mkdir()
            site = Site(tmp_path / name, tables, server.dsn)
            settings = replace(site.plan.settings, hosts=frozenset({name}), timezone=ZoneInfo(zone))
            plan = replace(site.plan, site=name, settings=settings, timezone=zone)
            recorders[name] = Recorder(plan, site.folder, tables, clock=clock)
            await recorders[name].start()
            # 13:30 UTC is 02:30 of the next day in the one, 05:30 in the other.
            hits = [hit._replace(site=name, host=name) for hit in views({"/": 9}, NOON + 5400)]
            await recorders[name].hits(hits)
            await recorders[name].flush()
            await recorders[name].ship()
        days = {site: day.isoformat() for site, day in store.open_days() if day in (DAY, NEXT)}
        assert days["auckland.example"] == "2026-11-23"
        closed: dict[str, str] = {}
        for hours in (1, 21, 22, 24, 25, 30):
            clock.now = NOON + hours * 3600
            for name, recorder in recorders.items():
                for day in await recorder.close_days():
                    closed.setdefault(f"{name} {day}", datetime.fromtimestamp(clock.now, UTC).strftime("%dT%H"))
        assert closed["auckland.example 2026-11-23"] == "23T13"
        assert closed["relaso.com 2026-11-22"] == "23T10"
        for recorder in recorders.values():
            await recorder.stop()

    asyncio.run(run())
    for name, day in (("auckland.example", NEXT), ("relaso.com", DAY)):
        answer = breakdown(store, site=name, kind="view", by="page", start=day, end=day)
        assert [(row["value"], row["count"]) for row in answer["rows"]] == [("/", 9)]
