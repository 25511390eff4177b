"""Revocations on their way: from a worker to the disk, the store and every other worker; and Vestibule as a whole."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from demo.site import create_app
from tests.jar import Jar
from tests.servers import ROOT, Running, exchange, free_port, serve_asgi, vestibule_process, wait_until
from tests.sites import Answer, Front, Header, Recording
from vestibule.core.errors import LinkError
from vestibule.core.revocations import Revocation
from vestibule.link import ASK_EVERY, STALE, Mirror, Receiver
from vestibule.recorder.revoking import KEEP, RevocationError, Revoking, is_revocation
from vestibule.recorder.spool import Spool
from vestibule.store import Store, open_store

NOW = 1_800_000_000
A, B, C = ("a" * 32, "b" * 32, "c" * 32)

# -- the spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.sqlite")
    yield opened
    opened.close()


def test_revocations_outlive_the_process(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.sqlite")
    assert first.add_revocations([Revocation(A, 5), Revocation(B, 7)]) == [Revocation(A, 5), Revocation(B, 7)]
    first.close()
    again = Spool(tmp_path / "spool.sqlite")
    assert again.revocations(0, 10) == (0, [Revocation(A, 5), Revocation(B, 7)])
    assert again.revocations(5, 10) == (0, [Revocation(B, 7)])
    again.close()


def test_the_later_time_of_a_mark_holds_and_is_sent_again(spool: Spool) -> None:
    spool.add_revocations([Revocation(A, 5)])
    spool.revocations_sent([Revocation(A, 5)])
    assert spool.unsent_revocations(9) == []
    assert spool.add_revocations([Revocation(A, 4)]) == []
    assert spool.add_revocations([Revocation(A, 6)]) == [Revocation(A, 6)]
    assert spool.unsent_revocations(9) == [Revocation(A, 6)]
    spool.revocations_sent([Revocation(A, 5)])
    assert spool.unsent_revocations(9) == [Revocation(A, 6)], "what was sent is not what holds now"


def test_beyond_the_bound_the_floor_rises(spool: Spool) -> None:
    spool.add_revocations(Revocation(f"{n:032x}", n) for n in range(1, 11))
    assert spool.revocations(0, 4) == (6, [Revocation(f"{n:032x}", n) for n in range(7, 11)])
    spool.trim_revocations(2, 5)
    assert spool.revocations(0, 100) == (5, [Revocation(f"{n:032x}", n) for n in range(6, 11)])
    spool.trim_revocations(8, 5)
    assert spool.revocations(0, 100)[0] == 5, "what ended by itself raises nothing"


# -- the recorder's part, with a real spool and a real store


class Direct:
    """Runs what is asked for on a spool or a store, at once."""

    def __init__(self, target: Any) -> None:
        self.target = target

    async def do(self, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return action(self.target, *args, **kwargs)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('chdb')}")
    opened.migrate()
    yield opened
    opened.close()


def revoking(site: str, spool: Spool, store: Store, *, shared: bool = True, now: float = NOW) -> Revoking:
    epochs = iter(range(1000))
    return Revoking(
        site,
        Direct(spool),
        Direct(store),
        lambda: str(next(epochs)),
        lambda: now,
        shared=shared,
        keep_for=lambda: 30 * 86_400,
    )


def told(each: Revoking) -> set[tuple[str, int]]:
    return {tuple(row) for row in each.page({"epoch": "", "after": 0})["rows"]}


def test_hosts_that_share_a_store_share_what_is_revoked(store: Store, tmp_path: Path) -> None:
    spools = [Spool(tmp_path / name) for name in ("one", "two", "three")]
    one, two = (revoking("shared.example", spool, store) for spool in spools[:2])
    when = NOW * 1000

    async def run() -> None:
        await one.open()
        await two.open()
        await one.tend()
        await two.tend()
        await one.take({"revoke": [A, B], "time": when, "site": "shared.example"})
        assert told(one) == {(A, when), (B, when)}
        await one.tend()
        assert told(two) == set()
        await two.tend()
        assert told(two) == {(A, when), (B, when)}
        # Who comes later learns of all of it, and has it on disk for when the store is away.
        three = revoking("shared.example", spools[2], store, shared=False)
        await three.open()
        await three.tend()
        assert told(three) == {(A, when), (B, when)}
        again = revoking("shared.example", spools[2], store)
        await again.open()
        assert told(again) == {(A, when), (B, when)}
        other = revoking("other.example", spools[2], store)
        await other.tend()

    asyncio.run(run())
    for spool in spools:
        spool.close()


def test_what_has_ended_by_itself_is_forgotten(store: Store, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    old = (NOW - KEEP - 1) * 1000
    spool.add_revocations([Revocation(A, old), Revocation(B, (NOW - 31 * 86_400) * 1000), Revocation(C, NOW * 1000)])
    each = revoking("old.example", spool, store)

    async def run() -> None:
        await each.open()
        assert told(each) == {(C, NOW * 1000)}, "what is older than a sign-in is kept matters to no worker"
        await each.tend()

    asyncio.run(run())
    assert {row.mark for row in spool.revocations(0, 10)[1]} == {B, C}, "but stays until no setting could revive it"
    spool.close()


@pytest.mark.parametrize(
    "record",
    [
        {"revoke": [], "time": 1},
        {"revoke": [A], "time": "1"},
        {"revoke": [A], "time": -1},
        {"revoke": [A]},
        {"revoke": A, "time": 1},
        {"revoke": ["x"], "time": 1},
        {"revoke": [A] * 65, "time": 1},
        {"revoke": ["é" * 32], "time": 1},
        {"revoke": None, "time": 1},
    ],
)
def test_what_is_no_revocation_is_refused(record: Mapping[str, Any], spool: Spool, store: Store) -> None:
    assert is_revocation(record)
    with pytest.raises(RevocationError):
        asyncio.run(revoking("x.example", spool, store).take(record))


# -- the link


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is nothing that would tell
            await asyncio.sleep(0.01)


def is_fresh(mirror: Mirror) -> bool:
    return mirror.fresh


def test_a_worker_learns_what_is_revoked_and_says_when_it_does_not_know(tmp_path: Path) -> None:
    path = str(tmp_path / "recorder.sock")
    pages = [
        {"epoch": "1", "floor": 0, "rows": [[A, 10]], "next": 1, "more": True},
        {"epoch": "1", "floor": 0, "rows": [[B, 20]], "next": 2, "more": False},
        {"epoch": "2", "floor": 5, "rows": [[B, 20]], "next": 1, "more": False},
    ]
    asked: list[Mapping[str, Any]] = []
    clock = [0.0]

    async def on_call(name: str, given: Mapping[str, Any]) -> Any:
        assert name == "revocations"
        asked.append(given)
        return pages[min(len(asked), len(pages)) - 1]

    async def nothing(*_: Any) -> None:
        pass

    async def run() -> None:
        mirror = Mirror(path, clock=lambda: clock[0])
        assert not is_fresh(mirror), "nothing was heard yet"
        mirror.add([C], 30)
        assert mirror.cover([C], 30)
        task = asyncio.create_task(mirror.learn())
        await asyncio.sleep(0.1)
        assert not is_fresh(mirror)
        receiver = Receiver()
        await receiver.serve(path, nothing, nothing, on_call)
        await until(lambda: mirror.fresh)
        assert mirror.cover([A], 10)
        assert mirror.cover([B], 20)
        assert not mirror.cover([A, B], 21)
        assert asked[:2] == [{"epoch": "", "after": 0}, {"epoch": "1", "after": 1}]
        await until(lambda: mirror.cover([], 5))
        assert not mirror.cover([A], 10), "the new list has it no more"
        assert mirror.cover([C], 30), "what this worker revoked itself stays"
        await receiver.close()
        clock[0] += STALE + 0.1
        assert not is_fresh(mirror)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_workers_own_list_does_not_grow_with_what_the_recorder_tells(tmp_path: Path) -> None:
    """At its bound a list ends sign-ins that nobody revoked, to be safe."""
    path = str(tmp_path / "recorder.sock")
    rows: list[tuple[str, int]] = []

    async def on_call(*_: Any) -> Any:
        return {"epoch": "1", "floor": 0, "rows": rows, "next": 0, "more": False}

    async def nothing(*_: Any) -> None:
        pass

    async def run() -> None:
        receiver = Receiver()
        await receiver.serve(path, nothing, nothing, on_call)
        mirror = Mirror(path)
        for day in range(3):
            fresh = [(f"{number:032x}", number) for number in range(day * 5000 + 1000, day * 5000 + 6000)]
            for mark, time_ in fresh:
                mirror.add([mark], time_)
            rows[:] = fresh[:-1]
            await mirror._ask()
        assert not mirror.cover(["f" * 32], 1500), "nobody revoked that"
        assert mirror.cover([f"{15_998:032x}"], 15_998)
        assert mirror.cover([f"{15_999:032x}"], 15_999), "what is not told yet stays"
        assert mirror.cover([f"{1000:032x}"], 1000)
        await mirror._asking.close()
        await receiver.close()

    asyncio.run(run())


@pytest.mark.parametrize("answer", [None, {}, {"epoch": "1", "rows": [[1]], "next": 0, "floor": 0, "more": 0}, "x"])
def test_a_list_that_cannot_be_read_is_no_list(tmp_path: Path, answer: Any) -> None:
    path = str(tmp_path / "recorder.sock")

    async def on_call(*_: Any) -> Any:
        return answer

    async def nothing(*_: Any) -> None:
        pass

    async def run() -> None:
        receiver = Receiver()
        await receiver.serve(path, nothing, nothing, on_call)
        mirror = Mirror(path)
        with pytest.raises(LinkError):
            await mirror._ask()
        assert not is_fresh(mirror)
        await mirror._asking.close()
        await receiver.close()

    asyncio.run(run())


# -- all of it: two workers, a recorder, the demo site

LONG = 60.0
"""Seconds that processes have which are being started while the machine does other things, too."""
MAIL = "Ines.Sommer+crm@relaso-mail.example"


@dataclass
class Whole:
    port: int
    admin: int
    state: Path
    running: Running

    def browser(self) -> Visitor:
        return Visitor(self, Jar(int(time.time())))

    def each_worker(self) -> Iterator[None]:
        """One worker after the other alone takes connections: left to themselves, one may take them all."""
        workers = self.running.children("vestibule.worker")
        assert len(workers) == 2
        for at_work in workers:
            others = [each for each in workers if each != at_work]
            for other in others:
                os.kill(other, signal.SIGSTOP)
            try:
                yield
            finally:
                for other in others:
                    os.kill(other, signal.SIGCONT)


@dataclass
class Visitor:
    whole: Whole
    jar: Jar

    def ask(self, path: str, *extra: Header, method: str = "GET", body: bytes | None = None) -> Answer:
        """Each request has a connection of its own, and so any worker."""
        cookie = self.jar.header("localhost", path.partition("?")[0])
        front = Front(f"http://127.0.0.1:{self.whole.port}", Recording())
        headers = [*([("Cookie", cookie)] if cookie else []), *extra]
        answer = front.ask(path, *headers, method=method, body=body, host=f"localhost:{self.whole.port}")
        for value in answer.all("set-cookie"):
            self.jar.receive(value, "localhost", path.partition("?")[0])
        return answer

    def sign_in(self) -> None:
        body = urlencode({"email": MAIL, "password": "x", "keep_me_signed_in": "yes"}).encode()
        answer = self.ask("/login", ("Content-Type", "application/x-www-form-urlencoded"), method="POST", body=body)
        assert answer.status == 303
        assert self.jar.value("keep")

    def forget_session(self) -> None:
        self.jar.stored = [each for each in self.jar.stored if each.name != "relaso_session"]

    def is_remembered(self) -> bool:
        """Whether a browser that comes with the keep cookie alone is let in. Nothing of the answer is kept."""
        before = list(self.jar.stored)
        self.forget_session()
        answer = self.ask("/app/deals/17")
        self.jar.stored = before
        return answer.get("location") == "/app/deals/17"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    state = tmp_path_factory.mktemp("state")
    port, admin = free_port(), free_port()
    with serve_asgi(create_app()) as url:
        environ = {
            "VESTIBULE_LISTEN": f"127.0.0.1:{port}",
            "VESTIBULE_DASHBOARD__LISTEN": f"127.0.0.1:{admin}",
            "VESTIBULE_SITE__UPSTREAM": url,
            "VESTIBULE_STORE": f"chdb://{state}/store",
        }
        arguments = [
            "serve",
            "--workers",
            "2",
            "--config",
            str(ROOT / "demo" / "config"),
            "--state",
            str(state),
            "--dev",
        ]
        with vestibule_process(arguments, environ, ready=f"http://localhost:{port}/", patience=LONG) as running:
            yield Whole(port, admin, state, running)


def recorder_of(whole: Whole) -> int:
    return next(iter(whole.running.children("vestibule.counting")), 0)


def test_a_sign_out_everywhere_is_known_to_every_worker_within_five_seconds(whole: Whole) -> None:
    one, two = whole.browser(), whole.browser()
    one.sign_in()
    two.sign_in()
    wait_until(lambda: all(two.is_remembered() for _ in whole.each_worker()), "every worker to remember them", LONG)
    answer = one.ask("/_privacy/sign-out", ("Sec-Fetch-Site", "same-origin"), method="POST", body=b"")
    assert "everywhere_done" in (answer.get("location") or "")
    # Within five seconds by design: a worker that has heard nothing for so long remembers nobody.
    assert ASK_EVERY < STALE < 5
    wait_until(lambda: not any(two.is_remembered() for _ in whole.each_worker()), "every worker to know of it", LONG)
    for _ in whole.each_worker():
        assert two.ask("/app/deals/17").get("location") == "/login?next=/app/deals/17", "nor does their session count"
    assert two.jar.value("keep") is None


def test_it_outlives_a_recorder_that_is_killed_and_one_that_is_away(whole: Whole) -> None:
    visitor = whole.browser()
    visitor.sign_in()
    copy = whole.browser()
    copy.jar.stored = list(visitor.jar.stored)
    pid = recorder_of(whole)
    os.kill(pid, signal.SIGSTOP)
    try:
        # It does not answer: the sign-out waits for the journal, and no longer.
        assert visitor.ask("/logout").status == 303
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: recorder_of(whole) not in (0, pid), "a new recorder", LONG)
    other = whole.browser()
    other.sign_in()
    wait_until(
        lambda: all(other.is_remembered() for _ in whole.each_worker()), "every worker to remember somebody", LONG
    )
    wait_until(
        lambda: not list((whole.state / "journal").glob("*.jsonl")),
        "the journal to be taken over",
        LONG,
    )
    wait_until(
        lambda: not any(copy.is_remembered() for _ in whole.each_worker()), "every worker to know of the sign-out", LONG
    )


@pytest.mark.parametrize(
    "line",
    [
        b"Vestibule-Account: %b",
        b"vestibule-account: %b",
        b"VESTIBULE_ACCOUNT: %b",
        b"Vestibule.Account: %b",
        b"Vestibule-Account:\t%b",
        b"Vestibule-Account: %b\r\nVestibule-Account: x@y.example",
        b"X: y\r\n Vestibule-Account: %b",
        b"X: y\r\n\tVestibule-Account: %b",
        b"Vestibule-Account : %b",
        b" Vestibule-Account: %b",
        b"Vestibule-Account\x00: %b",
        b"X: y\rVestibule-Account: %b",
        b"X: y\nVestibule-Account: %b",
        b"Vestibule-Account:\r\n %b",
        b"Connection: vestibule-account\r\nVestibule-Account: %b",
    ],
)
def test_no_client_says_who_it_is_in_any_way_of_writing(whole: Whole, line: bytes) -> None:
    mail = b"forged@relaso.com"
    request = b"GET /app/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n%b\r\n\r\n"
    answer = exchange(f"http://127.0.0.1:{whole.port}", request % (line % mail))
    status = answer.partition(b"\r\n")[0]
    assert b" 400 " in status or b"location: /login" in answer.lower(), answer[:300]
    assert b"relaso_session=" not in answer.replace(b"relaso_session=; ", b""), "no session, but its removal"


def test_no_trailer_says_it_either(whole: Whole) -> None:
    request = (
        b"GET /app/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\nTrailer: Vestibule-Account\r\n\r\n"
        b"0\r\nVestibule-Account: forged@relaso.com\r\n\r\n"
    )
    answer = exchange(f"http://127.0.0.1:{whole.port}", request)
    assert b" 400 " in answer.partition(b"\r\n")[0] or b"location: /login" in answer.lower()


def test_the_address_is_nowhere_but_in_the_cookie(whole: Whole) -> None:
    visitor = whole.browser()
    visitor.sign_in()
    visitor.ask("/app/deals?sort=value")
    visitor.forget_session()
    wait_until(visitor.is_remembered, "the visitor to be remembered", LONG)
    visitor.ask("/app/")
    visitor.ask("/_privacy/")
    visitor.ask("/_privacy/data")
    visitor.ask("/_privacy/sign-out", ("Sec-Fetch-Site", "same-origin"), method="POST", body=b"")
    # Everything that was counted is on disk, in the store too.
    subprocess.run(
        [*_vestibule(), "purge", "--config", str(ROOT / "demo" / "config"), "--state", str(whole.state)],
        check=True, capture_output=True, timeout=60, env=_environ(whole),
    )  # fmt: skip
    words = [MAIL, MAIL.lower(), "Ines.Sommer", "ines.sommer", "relaso-mail"]
    places = {
        "the log": whole.running.output(),
        "metrics": _fetch(f"http://127.0.0.1:{whole.admin}/metrics"),
        "health": _fetch(f"http://127.0.0.1:{whole.admin}/healthz"),
        "the store": _dump(whole),
        "other requests' answers": visitor.ask("/_privacy/consent").text,
    }
    for name, text in places.items():
        assert not [word for word in words if word in text], name
    assert re.search(r"revocations\t\d", places["the store"]), "the store was read, and holds revocations"
    needles = [word.encode() for word in words]
    files = [path for path in whole.state.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # the store has tidied up
        assert not [word for word in needles if word in data], path


def _vestibule() -> list[str]:
    return [sys.executable, "-m", "vestibule"]


def _environ(whole: Whole) -> dict[str, str]:
    secret = (whole.state / "secret").read_text().strip() if (whole.state / "secret").exists() else "a secret for tests"
    return {**os.environ, "PYTHONPATH": str(ROOT / "proxy"), "VESTIBULE_SECRET": secret}


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def _dump(whole: Whole) -> str:
    """Every row of every table, read from a copy of the store."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "store"
        shutil.copytree(whole.state / "store", copy, ignore_dangling_symlinks=True, symlinks=False)
        (copy / "status").unlink(missing_ok=True)
        code = """
import sys
from vestibule.store import open_store
store = open_store(f"chdb://{sys.argv[1]}")
columns = (
    "SELECT table, arrayStringConcat(groupArray(concat('`', name, '`')), ', ') FROM system.columns"
    " WHERE database = currentDatabase() AND type NOT LIKE 'AggregateFunction%' AND table != 'incoming' GROUP BY table"
)
for name, readable in store._rows(columns):
    rows = store._rows(f"SELECT {readable} FROM `{name}`")
    print(name, len(rows), sep="\\t")
    for row in rows:
        print(*row, sep="\\t")
"""
        done = subprocess.run(
            [sys.executable, "-c", code, str(copy)],
            capture_output=True, text=True, timeout=60, env=_environ(whole), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout
