"""Days of the past that an import adds to, closed by recorders that know nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.test_recorder import DAY, NOON, SITE, Clock, Site, tables, views
from tests.test_store import views as late
from vestibule.core.keys import SALT_BYTES
from vestibule.recorder.backend import Backend, Calls
from vestibule.recorder.days import QUIET
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Recorder
from vestibule.recorder.storing import StoreThread
from vestibule.store import Store

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

__all__ = ["tables"]

LATER = NOON + 5 * 86_400
SURE = 600.0
STEP = 300.0


class Host:
    """Recorders on one store, whose time passes for all."""

    def __init__(self, folder: Path, tables: Tables, now: float = LATER) -> None:
        self.clock, self.passed, self.tables, self.folder = Clock(now), Clock(0.0), tables, folder
        self.plan = replace(Site(folder, tables).plan, live_every=1)

    def run(self, body: Callable[[Sequence[Recorder]], Awaitable[None]]) -> None:
        async def run() -> None:
            store = StoreThread(self.plan.store, self.plan.keep_for)
            recorders = []
            for name in ("importing", "other"):
                (self.folder / name).mkdir()
                recorder = Recorder(
                    self.plan,
                    self.folder / name,
                    self.tables,
                    clock=self.clock,
                    passed=self.passed,
                    store=store,
                )
                recorders.append(recorder)
                await recorder.start()
            try:
                await body(recorders)
            finally:
                for recorder in recorders:
                    await recorder.stop()
                await store.close()

        asyncio.run(run())

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.passed.now += seconds


async def add(recorder: Recorder, page: str, lines: int, moment: float = NOON) -> None:
    await recorder.importing.hits(views({page: 10}, moment), ["log"], lines)
    await recorder.flush()
    await recorder.ship()


async def looks(host: Host, recorder: Recorder, seconds: float) -> list[str]:
    """What a recorder's loop closes in so long."""
    closed = []
    for _ in range(int(seconds / STEP)):
        closed += await recorder.close_days(patience=SURE)
        host.wait(STEP)
    return closed


def test_another_recorder_leaves_the_days_of_an_import_open(tmp_path: Path, tables: Tables) -> None:
    host = Host(tmp_path, tables)

    async def body(recorders: Sequence[Recorder]) -> None:
        importing, other = recorders
        for number in range(5):
            await add(importing, f"/{number}", number)
            assert await looks(host, other, QUIET / 2) == []
        assert (await importing.finish_import())["closed"] == [DAY.isoformat()]
        calls = Calls(importing, Backend(importing))
        answer = await calls("timeseries", {"interval": "day", "from": DAY.isoformat(), "to": DAY.isoformat()})
        assert [point["count"] for point in answer["points"]] == [50]
        assert (await calls("health", {}))["drops"] == {}

    host.run(body)


def test_a_day_that_another_recorder_adds_to_is_not_closed_as_it_goes(tmp_path: Path, tables: Tables) -> None:
    """Who that is, and whether more comes, this one cannot know."""
    host = Host(tmp_path, tables)

    async def body(recorders: Sequence[Recorder]) -> None:
        importing, other = recorders
        days = [(DAY - timedelta(days=number)).isoformat() for number in range(2)]
        for number in range(2):
            await add(importing, "/mine", number, NOON - 86_400 * number)
        await add(other, "/theirs", 1)
        assert await importing.close_imported(days) == [days[1]]
        assert await other.close_imported(days) == []
        assert (await importing.finish_import())["closed"] == [days[0]]

    host.run(body)


def test_a_killed_import_may_be_resumed_for_an_hour(tmp_path: Path, tables: Tables) -> None:
    """Neither the recorder that it went through nor another one closes its days before; then both would."""
    host = Host(tmp_path, tables)

    async def body(recorders: Sequence[Recorder]) -> None:
        importing, other = recorders
        await add(importing, "/first", 10)
        for recorder in recorders:
            assert await looks(host, recorder, QUIET / 2 - STEP) == []
        await add(importing, "/rest", 20)
        assert await looks(host, other, QUIET) == []
        assert await looks(host, importing, QUIET / 2) == []
        assert await looks(host, other, 2 * STEP) == [DAY.isoformat()]
        assert (await importing.figures())["drops"] == {}

    host.run(body)


def test_a_command_closes_at_once_what_an_import_left(tmp_path: Path, tables: Tables) -> None:
    host = Host(tmp_path, tables)

    async def body(recorders: Sequence[Recorder]) -> None:
        importing, other = recorders
        before = date(2026, 11, 21)
        await add(importing, "/", 10)
        await add(importing, "/", 20, NOON - 86_400)
        assert await looks(host, other, 2 * SURE) == []
        assert await other.close_days(only=before) == [before.isoformat()]
        assert await other.close_days() == [DAY.isoformat()]

    host.run(body)


def test_yesterday_is_closed_as_soon_as_the_clock_is_sure(tmp_path: Path, tables: Tables) -> None:
    """What it was given in its last hours is no import."""
    host = Host(tmp_path, tables, NOON)

    async def body(recorders: Sequence[Recorder]) -> None:
        recorder = recorders[0]
        await recorder.hits(views({"/": 10}))
        host.wait(13.5 * 3600)
        await recorder.flush()
        await recorder.ship()
        assert await looks(host, recorder, SURE + STEP) == [DAY.isoformat()]

    host.run(body)


def test_days_that_hold_no_facts_or_take_no_more_wait_for_nothing(tmp_path: Path, tables: Tables) -> None:
    """A salt alone, and cells that landed after the close: these are gone as soon as the clock is sure."""
    host = Host(tmp_path, tables)

    async def body(recorders: Sequence[Recorder]) -> None:
        importing, other = recorders
        empty = DAY - timedelta(days=1)
        await importing.store.do(Store.salt, SITE, empty, bytes(SALT_BYTES))
        assert await looks(host, other, SURE + STEP) == [empty.isoformat()]
        await add(other, "/", 10)
        assert await other.close_days() == []
        assert (await other.finish_import())["closed"] == [DAY.isoformat()]
        await other.store.do(Store.insert_cells, "late", late({("/", "DE"): 3}))
        assert (SITE, DAY) in await other.store.do(Store.open_days)
        assert await looks(host, other, SURE + STEP) == []
        assert (SITE, DAY) not in await other.store.do(Store.open_days)

    host.run(body)
