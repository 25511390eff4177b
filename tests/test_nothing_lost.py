"""Nothing lost, nothing twice: real processes are killed at random while facts flow, and at the end all are there.

A worker counts on disk what it has handed over; what the store has in the end is that, but for at most a second of it
for each kill of the worker. Kills of the recorder and of the database, lost replies, failing ones, a full disk, an
outage and clocks that jump cost nothing.
"""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.clickhouse_http import Server
from tests.servers import free_port
from tests.test_recorder import NOON, SITE, Clock, Process, Site, pages, settle, tables, total, view, views
from vestibule.core.errors import StoreError
from vestibule.recorder.backend import Backend, Calls
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Recorder
from vestibule.store import open_store

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

__all__ = ["tables"]

RATE = 200
"""Facts a second."""

WORKER = """
import asyncio, mmap, signal, struct, sys, time
sys.path[:0] = {paths!r}
from tests.test_recorder import view
from vestibule.link import Sender

async def main(socket, served, rate):
    sender, stopping = Sender(socket), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    running = asyncio.create_task(sender.run())
    file = open(served, "r+b")
    counter = mmap.mmap(file.fileno(), 8)
    number = struct.unpack("<Q", counter[:8])[0]
    next_ = time.monotonic()
    while not stopping.is_set():
        for _ in range(rate // 50):
            number += 1
            sender.send(view(number % 900, "/page-" + "abcdefgh"[number % 8], time.time()))
        counter[:8] = struct.pack("<Q", number)
        next_ += 0.02
        await asyncio.sleep(max(0, next_ - time.monotonic()))
    await sender.close()
    await running
    assert not sender.dropped

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


class Worker:
    """A process that has something to count. served: how much, as it survives any kill."""

    def __init__(self, folder: Path, socket: str, rate: int) -> None:
        self._served = folder / "served"
        self._served.write_bytes(bytes(8))
        code = WORKER.format(paths=[each for each in sys.path if each])
        self._command = [sys.executable, "-c", code, socket, str(self._served), str(rate)]
        self.start()

    @property
    def served(self) -> int:
        return int.from_bytes(self._served.read_bytes(), "little")

    def start(self) -> None:
        """Returns once it counts; before, it could not be told to end."""
        before = self.served
        self.process = subprocess.Popen(self._command, cwd=Path(__file__).parents[1])
        while self.served == before:
            assert self.process.poll() is None
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0


class World:
    """A database, a recorder, a worker; all of them real."""

    def __init__(self, folder: Path, rate: int = RATE) -> None:
        self.database = Server(folder / "clickhouse", free_port())
        try:
            self.recorder = Process(folder, free_port(), self.database.dsn)
        except BaseException:
            self.database.kill()
            raise
        self.worker = Worker(folder, self.recorder.socket, rate)
        self.first = datetime.now(UTC).date()

    def finish(self) -> tuple[int, int, int]:
        """Let everything come to rest; return what was served, and what the store has: by minute, and in open cells."""
        self.worker.end()
        self.recorder.until(lambda: self.recorder.call("health")["facts"].get("view", 0) >= 0)
        time.sleep(0.3)
        self.until_stored()
        self.recorder.kill(signal.SIGTERM)
        store = open_store(self.database.dsn)
        try:
            (by_minute,) = store._client.query("SELECT sum(count) FROM totals WHERE kind = 'view'").result_rows[0]
            cells = "SELECT sum(count) FROM open_cells WHERE kind = 'view' AND a = '' AND b = ''"
            ((whole,),) = store._client.query(cells).result_rows
        finally:
            store.close()
        return self.worker.served, int(by_minute), int(whole)

    def until_stored(self, seconds: float = 60) -> None:
        self.recorder.until(partial(stored, self.recorder), seconds)

    def close(self) -> None:
        for each in (self.worker, self.recorder, self.database):
            end(each.process)


def end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


def stored(recorder: Process) -> bool:
    try:
        recorder.call("flush")
    except Exception:
        return False
    return bool(recorder.call("health")["spool"]["hashes"] == 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def batter(world: World, times: int, seed: int) -> int:
    """Do harm at random; return how many seconds' facts that may cost."""
    chosen, cost = random.Random(seed), 0

    def recorder() -> int:
        world.recorder.kill(signal.SIGKILL)
        world.recorder.start()
        return 0

    def worker() -> int:
        world.worker.kill()
        world.worker.start()
        return 1

    def database() -> int:
        world.database.kill()
        time.sleep(chosen.random())
        world.database.start()
        return 0

    def replies() -> int:
        world.database.fail(
            *({"match": match, "kind": kind} for match in ("incoming", "INTO totals") for kind in ("lost", "error"))
        )
        return 0

    harm: list[Callable[[], int]] = [recorder, worker, database, replies]
    for number in range(times):
        time.sleep(0.3 + chosen.random())
        cost += harm[number % 4 if number < 4 else chosen.randrange(4)]()
    return cost


def test_kills_of_the_recorder(world: World) -> None:
    """Whenever it dies, the next one gets what it had not written, and takes nothing twice that it had."""
    for number in range(4):
        time.sleep(0.3 + number * 0.17)
        world.recorder.kill(signal.SIGKILL)
        world.recorder.start()
    served, by_minute, whole = world.finish()
    assert served == by_minute == whole
    assert served > 2 * RATE


@pytest.mark.slow  # what may be lost is bounded by time, which a busy machine stretches
def test_kills_at_random(world: World) -> None:
    cost = batter(world, 5, 1)
    served, by_minute, whole = world.finish()
    assert by_minute == whole
    assert served - cost * RATE <= whole <= served
    assert served > 3 * RATE


def test_a_full_disk(world: World) -> None:
    """What cannot be written stays in memory, and health says so; when there is room again, all of it is written."""
    pid, spool = world.recorder.process.pid, world.recorder.folder / "state" / "spool.sqlite-wal"
    world.recorder.until(lambda: world.recorder.call("health")["facts"].get("view", 0) > RATE // 2)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(spool.stat().st_size // 2, 4096), hard))
    world.recorder.until(lambda: bool(world.recorder.call("health")["spool"].get("error")))
    before = world.recorder.call("health")["facts"]["view"]
    world.recorder.until(lambda: world.recorder.call("health")["facts"]["view"] > before + RATE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    world.recorder.until(lambda: not world.recorder.call("health")["spool"].get("error"))
    served, by_minute, whole = world.finish()
    assert served == by_minute == whole


def outage(world: World, seconds: float) -> int:
    """Take the database away for so long; return the largest size of the spool, in bytes."""
    time.sleep(1)
    world.database.kill()
    end, largest = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(0.5)
        largest = max(largest, world.recorder.call("health")["spool"]["bytes"])
    world.database.start()
    return largest


def test_an_outage(tmp_path: Path) -> None:
    world = World(tmp_path, 1000)
    try:
        largest = outage(world, 6)
        served, by_minute, whole = world.finish()
        assert served == by_minute == whole
        assert served > 5000
        assert largest < 40_000_000
    finally:
        world.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_at_random(world: World) -> None:
    cost = batter(world, 50, 2)
    served, by_minute, whole = world.finish()
    assert by_minute == whole
    assert served - cost * RATE <= whole <= served


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_minutes_of_outage_at_a_thousand_facts_a_second(tmp_path: Path) -> None:
    """The spool follows the number of different cells and visitors, not that of facts."""
    world = World(tmp_path, 1000)
    try:
        largest = outage(world, 600)
        served, by_minute, whole = world.finish()
        assert served == by_minute == whole
        assert served > 550_000
        assert largest < 100_000_000
    finally:
        world.close()


@pytest.mark.slow
def test_two_hosts_on_one_server(tmp_path: Path) -> None:
    """Each with a worker and a recorder; the server is killed, and the recorder of one of them. All facts are there,
    and visitors whom both hosts saw count once: they have the same salt."""
    database, rate = Server(tmp_path / "clickhouse", free_port()), 500
    recorders: list[Process] = []
    workers: list[Worker] = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            recorders.append(Process(tmp_path / name, free_port(), database.dsn))
            workers.append(Worker(tmp_path / name, recorders[-1].socket, rate))
        time.sleep(3)
        database.kill()
        time.sleep(1)
        database.start()
        recorders[1].kill(signal.SIGKILL)
        recorders[1].start()
        time.sleep(4)
        for worker, recorder in zip(workers, recorders, strict=True):
            worker.end()
            time.sleep(0.3)
            recorder.until(partial(stored, recorder), 60)
            recorder.kill(signal.SIGTERM)
        served = sum(worker.served for worker in workers)
        store = open_store(database.dsn)
        try:
            ask = store._client.query
            (by_minute,) = ask("SELECT sum(count) FROM totals WHERE kind = 'view'").result_rows[0]
            pages = ask(
                "SELECT a_value, sum(count), uniqCombined64Merge(visitors) FROM open_cells"
                " WHERE kind = 'view' AND a = 'page' AND b = '' AND a_value LIKE '/page-%' GROUP BY day, a_value"
            ).result_rows
            salts = ask("SELECT day, count() FROM salts GROUP BY day").result_rows
        finally:
            store.close()
        assert served == by_minute == sum(count for _, count, _ in pages)
        assert by_minute > 8 * rate
        # Of 900 visitors every fourth comes to a page: the same ones on both hosts.
        assert max(visitors for _, _, visitors in pages) == 225
        assert {number for _, number in salts} == {1}
    finally:
        for process in [worker.process for worker in workers]:
            end(process)
        for recorder in recorders:
            end(recorder.process)
        end(database.process)


# -- clocks ------------------------------------------------------------------------------------------------------------


class Passing(Clock):
    """Seconds that pass whatever the clock does."""


def test_clocks_that_jump(tmp_path: Path, tables: Tables) -> None:
    """Three days ahead and back again: no day is closed for that, and every fact is there, under its own day."""
    site, passing = Site(tmp_path, tables), Passing(0.0)
    today, later = date(2026, 11, 22), date(2026, 11, 25)

    async def body() -> None:
        recorder = Recorder(site.plan, site.folder, tables, clock=site.clock, passed=passing)
        await recorder.start()
        calls = Calls(recorder, Backend(recorder))
        try:
            await recorder.hits(views({"/": 8}))
            for jump in (3 * 86_400, 0, -86_400, 0, 3 * 86_400, 0):
                site.clock.now = NOON + jump
                passing.now += 300
                await recorder.flush()
                await recorder._tend()
                await recorder.hits(views({"/": 8}, NOON + max(jump, 0)))
            await settle(recorder)
            assert await total(calls, day=today) == 8 * 5
            assert await total(calls, day=later) == 8 * 2
            # A clock that is right stays right: then the day is closed.
            site.clock.now = NOON + 86_400
            for _ in range(3):
                await recorder._tend()
                passing.now += 300
            closed = {day for _, day in await recorder.store.do(lambda store: sorted(store.closed()))}
            assert today in closed
            assert max(closed) == today
            assert await pages(calls) == {"/": 40}
        finally:
            await recorder.stop()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 11, 22), 24)], ids=str
)
def test_days_of_23_and_25_hours(tmp_path: Path, tables: Tables, day: date, hours: int) -> None:
    """A view an hour from each of six visitors, from midnight to midnight where the site is; closed two hours later."""
    site = Site(tmp_path, tables)
    zone = site.plan.settings.timezone
    start = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    following = day + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone).timestamp()
    assert end - start == hours * 3600

    async def body(recorder: Recorder, calls: Calls) -> None:
        site.clock.now = start - 3600
        for hour in range(-1, hours + 1):
            await recorder.hits([view(visitor, "/", start + hour * 3600 + 1) for visitor in range(6)])
        site.clock.now = end + 7199
        assert day.isoformat() not in await recorder.close_days()
        site.clock.now = end + 7200
        assert day.isoformat() in await recorder.close_days()
        assert await total(calls, day=day) == hours * 6
        assert await pages(calls, day=day) == {"/": hours * 6}
        before = await recorder.store.do(
            lambda store: store._client.query("SELECT * FROM cells ORDER BY ALL").result_rows
        )
        assert await recorder.close_days(day) == []
        again = await recorder.store.do(
            lambda store: store._client.query("SELECT * FROM cells ORDER BY ALL").result_rows
        )
        assert again == before

    site.run(body)


@pytest.mark.parametrize("step", range(8))
def test_a_close_that_crashes_at_any_step(
    tmp_path: Path, tables: Tables, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short before its nth statement, and done again by another: the same numbers, once."""
    from vestibule.store import Store

    site = Site(tmp_path, tables)

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 13, "/pricing": 7, "/a": 4, "/b": 3}))
        await settle(recorder)
        later = datetime(2026, 11, 23, 3, tzinfo=UTC)

        def cut(store: Store) -> bool:
            left = [step]
            client = store._client
            real = {name: getattr(client, name) for name in ("command", "insert")}

            def counted(name: str) -> Callable[..., object]:
                def run(*args: object, **kwargs: object) -> object:
                    if left[0] == 0:
                        raise StoreError("store: cut short")
                    left[0] -= 1
                    return real[name](*args, **kwargs)

                return run

            with monkeypatch.context() as patched:
                for name in real:
                    patched.setattr(client, name, counted(name))
                try:
                    return bool(store.close_day(SITE, date(2026, 11, 22), k=5, owner="first", now=later))
                except StoreError:
                    return False

        await recorder.store.do(cut)
        done = await recorder.store.do(
            Store.close_day, SITE, date(2026, 11, 22), k=5, owner="second", now=later + timedelta(hours=2)
        )
        assert done
        assert await pages(calls) == {"/": 13, "rare": 14}
        assert await total(calls) == 27
        assert await recorder.store.do(Store.open_days) == []

    site.run(body)
