"""What counting costs: the recorder's speed and memory, a release of a million cells, the import, the worker's share.

Run: ``python -m bench recorder``, or ``python -m bench.recorder [load] [release] [import] [worker] [neighbours]
[neighbours-of-two]``. The recorder runs in a process of its own on one core, as in production. The engine (chDB) has
threads of its own there: what it takes is part of the figures. *Above the engine* is the resident memory less that of a
process that has only chDB and runs the same statements with the same data.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from itertools import cycle, islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.traffic import SITE, Traffic, answered
from vestibule.core.visit import Settings
from vestibule.link.sending import BATCH

SECONDS = 20
ROUNDS = 5
CELLS = 1_000_000
DAY = date(2026, 11, 22)
VIEWS = 60_000
"""How many there are before they come again."""
PATIENCE = 600.0
"""Seconds that a process may be silent."""
MOMENT = b"1000000000.125"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


def say(name: str, value: str, aim: str = "") -> None:
    sys.stdout.write(f"{name:<58} {value:>18}   {aim}\n")
    sys.stdout.flush()


def memory(process: int | str = "self") -> dict[str, int]:
    """Megabytes: resident, and the most there ever was."""
    text = Path(f"/proc/{process}/status").read_text()
    return {
        name: int(found[1]) // 1024
        for name in ("VmRSS", "VmHWM", "RssAnon")
        if (found := re.search(rf"{name}:\s+(\d+)", text))
    }


def pinned(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})


# -- the recorder under load -------------------------------------------------------------------------------------------


class Recording:
    """A recorder in a process of its own, with its loops and its socket, as ``vestibule.counting`` composes it."""

    def __init__(self, folder: str, live_every: int = 900) -> None:
        self.folder, self.path = folder, f"{folder}/recorder.sock"
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=recorder_process, args=(folder, theirs, live_every))
        self._process.start()
        theirs.close()
        assert heard(self._pipe, self._process, 60) == "ready"
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.before = memory(self.pid)
        self._cpu = cpu_of(self.pid)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # it has ended by itself
            self._pipe.send("stop")
        self._process.join(60)
        self._process.kill()

    @property
    def cpu(self) -> float:
        """Seconds of processor time since the start."""
        return cpu_of(self.pid) - self._cpu

    def lag(self) -> float:
        """The longest that the event loop did nothing else, in seconds, since the last question."""
        return self.ask("lag")

    def ask(self, command: str) -> float:
        self._pipe.send(command)
        return float(heard(self._pipe, self._process))

    def call(self, name: str) -> Any:
        from vestibule.link import call

        return call(self.path, name, timeout=120)


def recorder_process(folder: str, pipe: Any, live_every: int) -> None:
    pinned(0)
    import uvloop

    from vestibule.catalogue import country_database
    from vestibule.link import Receiver
    from vestibule.recorder.backend import Backend, Calls
    from vestibule.recorder.lookups import Tables
    from vestibule.recorder.service import Plan, Recorder
    from vestibule.recorder.sites import Sites
    from vestibule.store import Store

    worst = [0.0]

    async def fill(recorder: Recorder) -> int:
        """Count views of many pages by many visitors, beacons of those who agreed, and what was held back for others,
        until there are a million open cells."""
        traffic = Traffic(random.Random(2), visitors=200_000, pages=20_000, once=0.3, tail=0.3)
        while (cells := await recorder.store.do(open_cells)) < CELLS:
            for _ in range(4):
                await recorder.hits(list(answered(traffic.views(5_000, time.time()))))
                await recorder.flush()
            await recorder.ship()
        return cells

    def open_cells(store: Store) -> int:
        question = "SELECT uniqExact(kind, a, b, a_value, b_value) FROM open_cells"
        return int(store._client.query(question).result_rows[0][0])

    async def watch() -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            worst[0] = max(worst[0], time.monotonic() - begun - 0.01)

    async def run() -> None:
        state = Path(folder)
        settings = Settings(hosts=frozenset({SITE}))
        plan = Plan(SITE, f"chdb://{folder}/store", "secret", settings, live_every=live_every)
        recorder = Recorder(plan, state, Tables(country_database()))
        await recorder.start()
        recorder.run()
        receiver = Receiver()
        calls = Calls(recorder, Backend(recorder))
        await receiver.serve(str(state / "recorder.sock"), Sites(recorder).hits, recorder.record, calls)
        watching = asyncio.create_task(watch())
        pipe.send("ready")
        while (command := await asyncio.get_running_loop().run_in_executor(None, pipe.recv)) != "stop":
            if command == "lag":
                pipe.send(worst[0])
                worst[0] = 0.0
            elif command == "fill":
                pipe.send(await fill(recorder))
            else:
                begun = time.monotonic()
                await recorder.store.do(Store.release, SITE, datetime.now(UTC).date(), k=plan.k, owner="bench")
                pipe.send(time.monotonic() - begun)
        watching.cancel()
        await receiver.close()
        await recorder.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def load() -> None:
    """Page views as fast as the recorder takes them, all on one socket; it flushes, ships and releases meanwhile."""
    pinned(1)
    views = messages(Traffic(random.Random(1), visitors=30_000))
    with tempfile.TemporaryDirectory() as folder, Recording(folder) as recording:
        begun = time.monotonic()
        sent = asyncio.run(send(recording.path, views, SECONDS))
        while recording.call("health")["facts"].get("view", 0) < sent:
            time.sleep(0.05)
        counted = time.monotonic() - begun
        recording.call("flush")
        stored = time.monotonic() - begun
        say("views a second, counted", f"{sent / counted:,.0f}", "≥ 3,000")
        say("views a second, until the last is stored and released", f"{sent / stored:,.0f}", "≥ 3,000")
        say("  processor time of a view", f"{recording.cpu / sent * 1e6:,.0f} µs")
        say(
            "  the recorder's memory, before and at the most",
            f"{recording.before['VmRSS']} → {memory(recording.pid)['VmHWM']} MB",
        )
        say("  longest standstill of the intake", f"{recording.lag() * 1e3:,.0f} ms")


def release() -> None:
    """A release of a million open cells, while views come in."""
    views = messages(Traffic(random.Random(3)), 12_000)
    with tempfile.TemporaryDirectory() as folder, Recording(folder) as recording:
        cells = recording.ask("fill")
        recording.lag()
        filled = memory(recording.pid)
        sending = threading.Thread(target=lambda: asyncio.run(send(recording.path, views, 12, pace=1_000)))
        sending.start()
        time.sleep(1)
        times, used = [], recording.cpu
        for _ in range(2):
            times.append(recording.ask("release"))
        used = (recording.cpu - used) / 2
        sending.join()
        say(f"release of {cells:,.0f} open cells, 1,000 views a second coming in", f"{min(times):.1f} s", "≤ 5 s")
        say("  processor time meanwhile, intake included", f"{used:.1f} s")
        say("  longest standstill of the intake", f"{recording.lag() * 1e3:,.0f} ms")
        say(
            "  the recorder's memory, filled and at the most", f"{filled['VmRSS']}, {memory(recording.pid)['VmHWM']} MB"
        )
        alone = engine_alone(int(cells))
        say("  the engine's alone, same cells and questions", f"{alone['VmHWM']} MB")
        say("  above the engine", f"{memory(recording.pid)['VmHWM'] - alone['VmHWM']} MB", "≤ 300 MB")


def engine_alone(cells: int) -> dict[str, int]:
    """The memory of a process that has only chDB, and does what a release of so many cells asks of it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=engine_process, args=(theirs, cells))
    process.start()
    theirs.close()
    found: dict[str, int] = heard(ours, process)
    process.join(60)
    return found


def heard(pipe: Any, process: BaseProcess, patience: float = PATIENCE) -> Any:
    """What a process says next; it is given up where it has ended without a word, or says nothing for so many
    seconds."""
    ready = wait([pipe, process.sentinel], patience)
    with contextlib.suppress(EOFError):
        if pipe.poll():
            return pipe.recv()
    if ready:  # what it held is closed a moment before it has ended
        process.join(10)
    ended = f"ended with {process.exitcode}" if process.exitcode is not None else f"was silent for {patience:g} s"
    process.kill()
    raise SystemExit(f"bench: the process beside this one {ended}")


def engine_process(pipe: Any, cells: int) -> None:
    pinned(0)
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
    import chdb

    from vestibule.store import files

    with tempfile.TemporaryDirectory() as folder:
        engine = chdb.connect(folder)  # type: ignore[no-untyped-call]
        engine.query("CREATE DATABASE vestibule")
        engine.query("USE vestibule")
        for _, _, statements in files.migrations():
            for statement in statements:
                engine.query(statement)
        for start in range(0, cells, 25_000):
            engine.query(
                f"INSERT INTO incoming SELECT 's', toDate('2026-11-22'), 'view', 'd' || toString(number % 12),"
                " 'e' || toString(number % 11), '/a/page/' || toString(intDiv(number, 131) % 3000),"
                " 'another value ' || toString(number % 20011), [], 3, arrayMap(x -> cityHash64(number, x)"
                f" % 68719476736, range(10)) FROM numbers({start}, 25000)"
            )
        engine.query("CREATE TABLE known_values AS cells")
        for first in ("a", "b"):
            engine.query(
                "INSERT INTO known_values (site, day, kind, a, a_value)"
                f" SELECT DISTINCT site, day, kind, {first}, {first}_value FROM open_cells"
            )
        for dimension in range(12):
            question = files.query("open_pairs")
            for name, value in (("site", "s"), ("day", "2026-11-22"), ("kind", "view"), ("a", f"d{dimension}")):
                question = re.sub(rf"{{{name}:\w+}}", f"'{value}'", question)
            engine.query(f"{question} FORMAT Null")
        engine.query("CREATE TABLE staging AS cells")
        engine.query(
            "INSERT INTO staging SELECT site, day, kind, a, a_value, b, b_value, 'leaf', [], sum(count), 5, false"
            " FROM open_cells GROUP BY ALL LIMIT 100000"
        )
        engine.query("ALTER TABLE cells REPLACE PARTITION ('s', '2026-11-22') FROM staging")
        pipe.send(memory())
        engine.close()


async def send(path: str, frames: Sequence[bytes], seconds: float, pace: float = 0) -> int:
    """Send views for so long; return how many. pace: so many a second, 0 for as many as are taken. They were made
    before, but for their times: whoever sends takes no processor from whoever is measured."""
    _, writer = await asyncio.open_unix_connection(path)
    begun = time.monotonic()
    sent, end = 0, begun + seconds
    while time.monotonic() < end:
        if pace:
            await asyncio.sleep(max(0.0, begun + sent / pace - time.monotonic()))
        data = frames[sent // BATCH % len(frames)].replace(MOMENT, b"%.3f" % time.time())
        writer.write(len(data).to_bytes(4, "big") + data)
        await writer.drain()
        sent += BATCH
    writer.close()
    return sent


def messages(traffic: Traffic, views: int = VIEWS, site: str = SITE) -> list[bytes]:
    """Messages of views whose times are ``MOMENT``, each of as many as a worker sends at a time."""
    found = []
    for _ in range(views // BATCH):
        hits = [hit._replace(site=site).to_json() for hit in traffic.views(BATCH, float(MOMENT))]
        found.append(json.dumps({"hits": hits, "dropped": 0}, separators=(",", ":")).encode("ascii"))
    return found


def importing() -> None:
    """``vestibule import`` of page views, and of lines that are parts of pages; the day is over, and closed then."""
    traffic = Traffic(random.Random(4))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config"
        config.mkdir()
        (config / "site.yaml").write_text(
            f"site: {{name: {SITE}, hosts: [{SITE}], upstream: 'http://127.0.0.1:9'}}\nstore: chdb://{folder}/store\n"
        )
        for name, parts, number in (("views", 0, 40_000), ("parts of pages", 1, 600_000)):
            log = Path(folder) / f"{parts}.log"
            with log.open("w") as file:
                for place, hit in enumerate(islice(cycle(traffic.views(40_000, NOON)), number)):
                    path = f"/static/app-{place % 90}.js" if parts else hit.path
                    moment = f"22/Nov/2024:12:{place * 60 // number:02}:00 +0000"
                    request = f'"GET {path} HTTP/1.1" 200 5120 "{hit.referrer or "-"}" "{hit.agent}"'
                    file.write(f"{hit.address} - - [{moment}] {request}\n")
            command = [sys.executable, "-m", "vestibule", "import", str(log), "--config", str(config)]
            begun, cpu = time.monotonic(), os.times()
            subprocess.run(
                [*command, "--state", f"{folder}/state-{parts}"],
                env={**os.environ, "VESTIBULE_SECRET": "a secret that is long enough"},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            took, after = time.monotonic() - begun, os.times()
            used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
            say(
                f"import: {name}, lines a second, close included",
                f"{number / took:,.0f}",
                "≥ 30,000" if parts else "≥ 3,000",
            )
            say("  processor time of a line", f"{used / number * 1e6:,.0f} µs")


def worker() -> None:
    """What a worker spends on counting one exchange: making the hit, handing it over, writing it to the socket."""
    from types import SimpleNamespace

    from vestibule.link import Sender
    from vestibule.middleware.hits import of_exchange

    headers = [
        (b"host", SITE.encode()), (b"user-agent", next(Traffic(random.Random(5)).views(1, 0)).agent.encode()),
        (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8"), (b"accept-language", b"de-DE,de;q=0.9"),
        (b"accept-encoding", b"gzip, br"), (b"referer", f"https://{SITE}/pricing".encode()), (b"cookie", b"session=1"),
        (b"sec-fetch-dest", b"document"), (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-site", b"same-origin"),
        (b"sec-fetch-user", b"?1"), (b"sec-ch-ua", b'"Chromium";v="131"'), (b"sec-ch-ua-platform", b'"Linux"'),
    ]  # fmt: skip
    site = SimpleNamespace(policy=SimpleNamespace(config=SimpleNamespace(site=SimpleNamespace(name=SITE))))
    visitor = SimpleNamespace(host=SITE, language="de", objects="")
    seen = SimpleNamespace(status=200, content_type="text/html", size=9_000, cookies={}, count=True)
    responder: Any = SimpleNamespace(seen=seen, blocked=(), asks=False)
    for name, path, dest, aim in (
        ("a page view", "/blog/guide/topic", b"document", "≤ 15 µs"),
        ("a part of a page", "/static/app.js", b"script", "0"),
    ):
        own = {**dict(headers), b"sec-fetch-dest": dest}

        def text(name: bytes, own: dict[bytes, bytes] = own) -> str:
            return own.get(name, b"").decode("latin-1")

        known = SimpleNamespace(text=text, address="203.0.113.7", visitor=visitor)
        asked: Any = SimpleNamespace(
            snapshot=site, scope={"method": "GET"}, known=known, visitor=visitor, now=NOON, target=path
        )
        sender, number = Sender("/nowhere", capacity=10**9), 40_000
        best = 1e9
        for _ in range(5):
            begun = time.process_time()
            for _ in range(number):
                hit = of_exchange(asked, responder)
                if hit is not None:
                    sender.send(hit)
            while sender._hits:
                for _ in sender._frames():
                    pass
            best = min(best, time.process_time() - begun)
        say(f"a worker's share of {name}", f"{best / number * 1e6:,.1f} µs", aim)


def neighbours(workers: int = 1) -> None:
    """What a recorder under full load does to the pages beside it, all processes where they put themselves or the
    kernel does; in rounds, before each of which the recorder has nothing left to do."""
    from bench import _contestants as contestants
    from vestibule.link import call

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        (folder / "www" / "page.html").write_text("<!doctype html><title>Bench</title><p>" + "words " * 2000)
        os.environ["VESTIBULE_STORE"] = f"chdb://{folder}/chdb"
        with (
            contestants.site(folder, None) as behind,
            contestants.vestibule(folder, behind, pinned=False, workers=workers) as ours,
        ):
            asyncio.run(taken(ours.port, 2))
            for _ in range(200):
                if (folder / "state" / "recorder.sock").exists():
                    break
                time.sleep(0.1)
            recorder = max(ours.aside, key=lambda pid: memory(pid)["VmRSS"])  # the other is the supervisor
            idle: list[float] = []
            busy: list[float] = []
            used = 0.0
            context = multiprocessing.get_context("spawn")
            for _ in range(ROUNDS):
                idle += asyncio.run(taken(ours.port, 5))
                begun = context.Event()
                loading = context.Process(
                    target=loading_process,
                    args=(f"{folder}/state/recorder.sock", "Bench", 7, os.sched_getaffinity(recorder), begun),
                )
                loading.start()
                assert begun.wait(60)
                time.sleep(1)
                used -= cpu_of(recorder)
                busy += asyncio.run(taken(ours.port, 5))
                used += cpu_of(recorder)
                loading.join()
                while call(f"{folder}/state/recorder.sock", "health", timeout=60)["spool"]["hashes"]:
                    time.sleep(0.3)
                time.sleep(2)
        calm, loaded = (sorted(times)[len(times) * 99 // 100] for times in (idle, busy))
        say(
            f"p99 of a page, recorder idle and under full load, workers: {workers}",
            f"{calm * 1e3:.1f}, {loaded * 1e3:.1f} ms",
        )
        say("  ratio", f"{loaded / calm:.2f}", "≤ 1.5")
        say("  the recorder's share of a processor meanwhile", f"{used / 5 / ROUNDS:.2f}")


def loading_process(path: str, site: str, seconds: float, cores: set[int], begun: Any) -> None:
    """Hits of other workers: on the recorder's core, and out of the pages' way as the recorder is."""
    from vestibule.process import step_back

    os.sched_setaffinity(0, cores)
    step_back(15)
    views = messages(Traffic(random.Random(6)), site=site)
    begun.set()
    asyncio.run(send(path, views, seconds))


async def taken(port: int, seconds: float, rate: int = 120) -> list[float]:
    """The seconds that each page takes, of so many asked for a second on a few connections."""
    from bench._contestants import HOST

    request = (
        f"GET /page.html HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nSec-Fetch-Dest: document\r\n"
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
    ).encode()
    found: list[float] = []

    async def client(offset: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        end = (due := time.monotonic() + offset) + seconds
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            if length := re.search(rb"(?i)content-length: *(\d+)", head):
                await reader.readexactly(int(length[1]))
            else:
                await reader.readuntil(b"\r\n0\r\n\r\n")
            found.append(time.monotonic() - begun)
            due += 4 / rate
        writer.close()

    await asyncio.gather(*(client(number / rate) for number in range(4)))
    return found


def cpu_of(process: int) -> float:
    """Seconds of processor time, of all threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PARTS: dict[str, Callable[[], None]] = {
    "load": load,
    "release": release,
    "import": importing,
    "worker": worker,
    "neighbours": neighbours,
    "neighbours-of-two": partial(neighbours, 2),
}


def main(arguments: Sequence[str] = ()) -> None:
    for name in arguments or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
