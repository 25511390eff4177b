"""What must not happen when things go wrong: a wrong body, a hanging request, a leak. Small here; full size by
``make soak``, which also prints its figures (``pytest -s``)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.load import BREAKING, PLAIN, Held, Tally, fault_site, load, slow_clients
from tests.servers import free_port, wait_until
from tests.services import Service, service

MEMORY = 24 << 20
"""Bytes by which a process may be larger after a load than it was when it had answered a few requests: what is
remembered is bounded by less, and Python gives back what a crowd has needed but for parts of pages."""

AGAIN = 8 << 20
"""Bytes by which it may be larger after the same load once more: whatever is lost with each request would show here."""

KEPT = "keep_alive: 3s"
HASTY = f"{{{KEPT}, header_timeout: 3s, idle_timeout: 3s}}"

pytestmark = pytest.mark.slow  # minutes of load on several processes
SMALL_AND_FULL = [pytest.param(False, id="small"), pytest.param(True, id="full", marks=pytest.mark.slow)]


Faulty = tuple[Service, int, Callable[[], int]]
"""A service, its port, and a function that kills the site behind it."""


@contextlib.contextmanager
def running(folder: Path, workers: int = 1, limits: str = HASTY) -> Iterator[Faulty]:
    port = free_port()
    with (
        fault_site(port) as again,
        service(folder, f"http://127.0.0.1:{port}", "--workers", str(workers), limits=limits) as started,
    ):
        faulty = started, int(started.url.rpartition(":")[2]), again
        warm_up(faulty[1])
        yield faulty


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with running(tmp_path_factory.mktemp("faulty"), workers=2) as found:
        yield found


def warm_up(port: int) -> None:
    tally = asyncio.run(load(port, 400, 8))
    assert tally.ok == 400, tally


def held(pids: list[int]) -> list[Held]:
    return [Held.of(pid) for pid in pids]


def assert_nothing_is_left(pids: list[int], before: list[Held], room: int = MEMORY) -> None:
    """Descriptors and memory are back where they were, once idle connections have expired (``KEPT``)."""

    def files() -> list[int]:
        return [now.files - then.files for now, then in zip(held(pids), before, strict=True)]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: max(files()) <= 2, "the descriptors to be closed")
    assert max(files()) <= 2, files()
    growth = [now.memory - then.memory for now, then in zip(held(pids), before, strict=True)]
    assert max(growth) <= room, [f"{size / 1e6:.1f} MB" for size in growth]


def report(name: str, tally: Tally, before: list[Held], pids: list[int]) -> None:
    after = held(pids)
    files = [f"{then.files} → {now.files}" for then, now in zip(before, after, strict=True)]
    memory = [f"{then.memory >> 20} → {now.memory >> 20} MiB" for then, now in zip(before, after, strict=True)]
    print(f"\n{name}: {tally}\n  descriptors {', '.join(files)}; memory {', '.join(memory)}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("full", SMALL_AND_FULL)
def test_every_body_goes_to_its_request_whatever_breaks(full: bool, faulty: Faulty) -> None:
    """The site breaks off, is killed and comes back; the recorder is killed; the configuration is read anew; slow
    clients hang on. Nobody gets what is another's, or a part that looks whole."""
    count, slow, kills = (200_000, 300, 12) if full else (1_500, 45, 2)
    started, port, again = faulty
    workers = started.children("vestibule.worker")
    before = held(workers)

    async def scenario() -> Tally:
        async with slow_clients(port, slow):
            loading = asyncio.create_task(load(port, count, 24, BREAKING))
            for number in range(kills):
                await asyncio.sleep(3 if full else 0.2)
                await asyncio.to_thread(again)
                started.running.process.send_signal(signal.SIGHUP)
                if number % 4 == 1:
                    for pid in started.children("vestibule.counting"):
                        os.kill(pid, signal.SIGKILL)
            return await loading

    tally = asyncio.run(scenario())
    report("bodies", tally, before, workers)
    assert (tally.wrong, tally.hanging, tally.total) == ([], 0, count)
    assert set(tally.refused) <= {502, 503, 504}
    assert tally.ok > 0.4 * count
    assert started.children("vestibule.worker") == workers
    wait_until(lambda: bool(started.children("vestibule.counting")), "a recorder")
    warm_up(port)
    assert_nothing_is_left(workers, before)
    once = held(workers)
    asyncio.run(load(port, count, 24, BREAKING, seed=2))
    report("the same again", tally, once, workers)
    assert_nothing_is_left(workers, once, AGAIN)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("full", SMALL_AND_FULL)
def test_a_killed_worker_harms_only_what_it_was_doing(full: bool, faulty: Faulty) -> None:
    count, lanes, kills = (40_000, 24, 10) if full else (1_500, 12, 2)
    started, port, _ = faulty

    async def scenario() -> Tally:
        loading = asyncio.create_task(load(port, count, lanes))
        for _ in range(kills):
            await asyncio.sleep(0.4 if full else 0.1)
            for pid in started.children("vestibule.worker")[:1]:
                os.kill(pid, signal.SIGKILL)
        return await loading

    tally = asyncio.run(scenario())
    print(f"\nkilled workers: {tally}")
    assert (tally.wrong, tally.hanging, tally.total) == ([], 0, count)
    assert not tally.refused
    assert tally.broken <= lanes * kills
    wait_until(lambda: len(started.children("vestibule.worker")) == 2, "both workers")
    warm_up(port)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("full", SMALL_AND_FULL)
def test_slow_clients_hold_up_nobody(full: bool, tmp_path: Path) -> None:
    slow, count = (2_000, 60_000) if full else (150, 1_000)
    with running(tmp_path, limits=f"{{{KEPT}}}" if full else HASTY) as (started, port, _):
        (worker,) = started.children("vestibule.worker")

        async def scenario(count: int) -> tuple[Tally, int]:
            async with slow_clients(port, slow) as connected:

                def there() -> bool:
                    return connected() == slow and Held.of(worker).files > slow * 0.8

                await asyncio.to_thread(wait_until, there, "the slow clients")
                tally = await load(port, count, 8, PLAIN[:4])
                return tally, Held.of(worker).files

        begun = Held.of(worker)
        for before, room in ((begun, MEMORY), (None, AGAIN)):
            before = before or Held.of(worker)
            tally, files = asyncio.run(scenario(count))
            report(f"{slow} slow clients, {files} descriptors", tally, [before], [worker])
            assert tally.ok == count, tally
            if full:
                assert tally.percentile(0.99) < 0.1
            assert started.children("vestibule.worker") == [worker]
            assert_nothing_is_left([worker], [before], room)


def limit_files(pid: int, files: int) -> None:
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, hard))


def hold(port: int, count: int) -> list[socket.socket]:
    """Connections that ask nothing."""
    found = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        found.append(sock)
    return found


def test_few_descriptors_mean_few_connections_and_the_rest_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as (started, port, _):
        (worker,) = started.children("vestibule.worker")
        limit_files(started.running.pid, 164)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: started.said("limits.connections: 50 are taken and no more, for 164 files") == 1, "the word")
        warm_up(port)
        kept = hold(port, 50)
        assert started.status("/id/1?10") == 503
        for sock in kept:
            sock.close()
        wait_until(lambda: started.status("/id/1?10") == 200, "a place to be free")


def test_exhausted_descriptors_are_survived(tmp_path: Path) -> None:
    """Worse than too many connections: files that the process could not foresee, so that not even a refusal can be
    said. Nothing spins, and it goes on where it was as soon as there are descriptors again."""
    with running(tmp_path, limits=f"{{{KEPT}}}") as (started, port, _):
        (worker,) = started.children("vestibule.worker")
        before = Held.of(worker)
        limit_files(worker, before.files + 20)
        kept = hold(port, 200)
        wait_until(lambda: Held.of(worker).files >= before.files + 18, "the descriptors to be used up")
        spent = Held.of(worker).cpu
        time.sleep(1)
        assert Held.of(worker).cpu - spent < 0.5, "it spins"
        for sock in kept:
            sock.close()
        limit_files(worker, 4096)
        wait_until(lambda: started.get("/id/7?10") == b"7.7.7.7.7.", "an answer")
        warm_up(port)
        assert started.children("vestibule.worker") == [worker]
        assert_nothing_is_left([worker], [before])


def taken_up(started: Service, said: int) -> bool:
    return started.said("config: taken up") > said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("full", SMALL_AND_FULL)
def test_a_reload_loses_no_request(full: bool, faulty: Faulty) -> None:
    """By a signal, by a changed file, by a site that has moved."""
    count, reloads = (30_000, 20) if full else (1_500, 4)
    started, port, _ = faulty
    workers = started.children("vestibule.worker")
    site = started.folder / "site.yaml"
    first = site.read_text()
    address = first.partition("upstream: 'http://")[2].partition("'")[0]

    async def scenario(other: int) -> Tally:
        loading = asyncio.create_task(load(port, count, 16))
        for number in range(1, reloads + 1):
            said = started.said("config: taken up")
            text = first.replace("{keep_alive", f"{{connect_timeout: {number + 5}s, keep_alive")
            text = text.replace(address, f"127.0.0.1:{other}") if number % 2 else text
            await asyncio.to_thread(site.write_text, text)
            if number % 3 == 0:
                started.running.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(wait_until, functools.partial(taken_up, started, said), "the change")
        return await loading

    other = free_port()
    with fault_site(other):
        tally = asyncio.run(scenario(other))
    print(f"\nreloads: {tally}")
    assert (tally.ok, tally.wrong) == (count, []), tally
    assert started.children("vestibule.worker") == workers
    said = started.said("config: taken up")
    site.write_text(first)
    wait_until(lambda: taken_up(started, said), "the former configuration")


def test_a_stop_under_load_answers_what_was_asked(tmp_path: Path) -> None:
    """Of what was sent, everything is answered; then connections are closed, and new ones are refused."""
    with running(tmp_path, workers=2) as (started, port, _):
        tallies: list[Tally] = []
        thread = threading.Thread(target=lambda: tallies.append(asyncio.run(load(port, 4_000, 12))))
        thread.start()
        time.sleep(0.5)
        started.running.process.terminate()
        assert started.running.process.wait(20) == 0
        thread.join(60)
        (tally,) = tallies
        assert (tally.wrong, tally.hanging, tally.total) == ([], 0, 4_000)
        assert tally.ok > 100
        assert not tally.refused


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    with (
        running(tmp_path, limits="{drain_timeout: 1s}") as (started, port, _),
        socket.create_connection(("127.0.0.1", port), timeout=15) as sock,
    ):
        sock.sendall(b"GET /silent/1 HTTP/1.1\r\nHost: example.test\r\n\r\n")
        time.sleep(0.3)
        started.running.process.terminate()
        assert started.running.process.wait(15) == 0
        assert started.said("did not end within") == 0
        with contextlib.suppress(ConnectionResetError):
            assert b" 200 " not in sock.recv(1000)
