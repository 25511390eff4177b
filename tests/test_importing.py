"""``vestibule import`` over lines that were counted before, and ``vestibule stats`` beside an earlier period."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.test_cli import AGENT, SITE, combined
from tests.test_recorder import Clock, Site, tables, views
from vestibule.cli import importing, looking_ahead, reading
from vestibule.cli.asking import recorder
from vestibule.config.models import Site as Site_
from vestibule.core.errors import StoreError, VestibuleError
from vestibule.core.visit import Hit
from vestibule.link.frames import MAX_FRAME, pack
from vestibule.recorder import comparing, logs
from vestibule.recorder.backend import Backend, Calls, RequestError
from vestibule.recorder.logs import MAX_LINE
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Recorder
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.store import Breakdown, TimeSeries

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

__all__ = ["tables"]

TODAY = datetime.now(UTC).date()
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "site.yaml").write_text(f"{SITE}store: chdb://{tmp_path}/store\n")

    def run(*arguments: str, kill_after: float = 0, fails: bool = False) -> Any:
        command = [
            sys.executable,
            "-m",
            "vestibule",
            *arguments,
            "--config",
            str(folder),
            "--state",
            f"{tmp_path}/state",
        ]
        environ = {**os.environ, "VESTIBULE_SECRET": "a secret that is long enough"}
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if kill_after:
            time.sleep(kill_after)
            process.kill()
        out, err = process.communicate(timeout=100)
        assert kill_after or process.returncode == int(fails), err
        return (out, err) if fails else out

    return run


def log(path: Path, numbers: range, day: date = TODAY) -> Path:
    lines = [combined(f"203.0.{number % 250}.{number // 250 % 250}", day, f"/page-{number % 4}") for number in numbers]
    with path.open("a") as file:
        file.writelines(lines)
    return path


def views_of(run: Run) -> int:
    asked = ("--kind", "view", "--by", "page", "--from", str(TODAY - timedelta(days=9)), "--to", str(TODAY))
    answer = json.loads(run("stats", "breakdown", *asked))
    return int(sum(row["count"] for row in answer["rows"]) + answer["rare"]["count"])


def test_a_log_that_grew_is_counted_from_where_it_ended(run: Run, tmp_path: Path) -> None:
    path, day = tmp_path / "access.log", TODAY - timedelta(days=4)
    log(path, range(40), day)
    assert "40 lines (combined): 40 looked at" in run("import", str(path))
    # That day is closed; what is appended is of the next.
    log(path, range(40, 70), day + timedelta(days=1))
    out = run("import", str(path))
    assert "70 lines (combined): 40 counted before, 30 looked at" in out
    assert "view 30" in out
    assert "70 counted before, 0 looked at" in run("import", str(path))
    assert views_of(run) == 70


def test_days_of_which_nothing_may_be_told_are_not_counted(run: Run, tmp_path: Path) -> None:
    """Not any more, or not yet."""
    day = TODAY - timedelta(days=2)
    path = log(tmp_path / "a.log", range(5), TODAY - timedelta(days=800))
    log(path, range(7), TODAY + timedelta(days=30))
    out = run("import", str(log(path, range(40), day)))
    assert re.search(r"not counted:.*\bold 5\b", out), out
    assert re.search(r"not counted:.*\btime 7\b", out), out
    assert re.search(rf"closed: {day}$", out, re.MULTILINE), out
    assert views_of(run) == 40


def test_the_same_lines_may_be_counted_again(run: Run, tmp_path: Path) -> None:
    path = log(tmp_path / "access.log", range(30), TODAY - timedelta(days=4))
    run("import", str(path))
    assert "30 lines (combined): 30 looked at" in run("import", "--again", str(path))


def test_the_same_lines_count_once_in_one_command(run: Run, tmp_path: Path) -> None:
    """By another name, and packed when the log was rotated."""
    path = log(tmp_path / "access.log", range(40), TODAY - timedelta(days=4))
    link, packed = tmp_path / "link.log", tmp_path / "access.log.1.gz"
    link.symlink_to(path)
    packed.write_bytes(gzip.compress(path.read_bytes()))
    out = run("import", str(path), str(link), str(packed))
    assert out.count("40 counted before, 0 looked at") == 2
    assert "counted: view 40" in out
    assert views_of(run) == 40


def test_a_line_that_is_being_written_is_counted_once_it_has_an_end(run: Run, tmp_path: Path) -> None:
    path, day = tmp_path / "access.log", TODAY - timedelta(days=4)
    lines = [combined(f"203.0.{number}.7", day, "/a") for number in range(8)]
    path.write_text("".join(lines[:3])[:-20])
    out = run("import", str(path))
    assert "2 lines (combined): 2 looked at" in out
    assert "its last line has no end yet, and is not counted" in out
    path.write_text("".join(lines).replace(f"{day:%d/%b/%Y}", f"{day + timedelta(days=1):%d/%b/%Y}"))
    path.write_text("".join(lines[:2]) + "".join(path.read_text().splitlines(keepends=True)[2:]))
    out = run("import", str(path))
    assert "8 lines (combined): 2 counted before, 6 looked at" in out
    assert views_of(run) == 8


def test_empty_logs_keep_no_other_from_being_counted(run: Run, tmp_path: Path) -> None:
    empty, directives = tmp_path / "empty.log", tmp_path / "u_ex.log"
    empty.touch()
    directives.write_text("#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n")
    path = log(tmp_path / "access.log", range(30), TODAY - timedelta(days=4))
    out = run("import", str(empty), str(directives), str(path))
    assert "0 lines (empty)" in out
    assert "view 30" in out


def test_logs_that_grow_or_are_rotated_after_they_were_looked_through(tmp_path: Path) -> None:
    """One that grew is counted, be it from nothing or from directives alone; another in its place is another one."""
    site = Site_(name="example.test", hosts=("example.test",), upstream="http://127.0.0.1:1")
    names = ("empty.log", "directives.log", "access.log", "moved.log", "emptied.log")
    empty, directives, grown, moved, emptied = (tmp_path / name for name in names)
    empty.touch()
    directives.write_text("#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n")
    for path in (grown, moved, emptied):
        log(path, range(5), TODAY)
    found = (empty, directives, grown, moved, emptied)
    opened = partial(reading.opened, format_="", site=site)
    ahead = looking_ahead.Ahead(found, UTC, opened, lambda *_: None)
    for path in (empty, grown):
        log(path, range(100, 200), TODAY)
    with directives.open("a") as file:
        file.write(f"{TODAY} 12:00:00 203.0.113.1 GET /a 200\n")
    moved.unlink()
    log(moved, range(50, 60), TODAY)
    emptied.write_text("")
    for path in (empty, directives, grown):
        with opened(path) as again:
            ahead.check(path, again)
    for path in (moved, emptied):
        with opened(path) as again, pytest.raises(VestibuleError, match="was replaced while"):
            ahead.check(path, again)


def test_a_log_of_another_format_is_not_taken_for_counted(run: Run, tmp_path: Path) -> None:
    path = log(tmp_path / "access.log", range(30), TODAY - timedelta(days=4))
    _, err = run("import", "--format", "caddy", str(path), fails=True)
    assert "not one line of it is of the format caddy" in err
    assert "30 lines (combined): 30 looked at" in run("import", str(path))


def test_a_pipe_is_read_with_a_dash(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    _, err = run("import", str(tmp_path / "pipe"), fails=True)
    assert "is no file; a pipe is read with -" in err


def test_columns_are_known_where_an_import_goes_on(run: Run, tmp_path: Path) -> None:
    path, day = tmp_path / "u_ex.log", TODAY - timedelta(days=4)
    head = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status cs(User-Agent)\n"
    agent = AGENT.replace(" ", "+")
    lines = [f"{day} 12:00:00 203.0.113.{number} GET /a 200 {agent}\n" for number in range(1, 21)]
    path.write_text(head + "".join(lines[:10]))
    assert "10 looked at" in run("import", str(path))
    path.write_text(head + "".join(lines))
    assert "22 lines (w3c): 12 counted before, 10 looked at" in run("import", str(path))


def test_each_day_s_log_of_a_server_that_writes_directives_first_is_another_one(run: Run, tmp_path: Path) -> None:
    head = "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n"
    head += "#Fields: date time c-ip cs-method cs-uri-stem sc-status cs-host cs(User-Agent)\n"
    agent = AGENT.replace(" ", "+")
    paths = [tmp_path / f"u_ex{number}.log" for number in range(3)]
    for number, path in enumerate(paths):
        day = TODAY - timedelta(days=6 - number)
        rows = [f"{day} 12:00:0{number} 203.0.113.{v} GET /a 200 Example.test:443 {agent}\n" for v in range(1, 11)]
        path.write_text(head + "".join(rows))
    # Lines of hosts that get no answer live, and some that cannot be read, such as of a time that cannot be stored.
    with paths[2].open("a") as file:
        file.writelines(f"{TODAY} 12:00:09 203.0.113.9 GET /theirs 200 other.test {agent}\n" for _ in range(3))
        file.write(f"9999-12-31 12:00:09 203.0.113.9 GET /a 200 example.test {agent}\n")
        file.write(f"{TODAY} 12:00:09 203.0.113.9 GET /a {'9' * 5000} example.test {agent}\n")
        file.write(f"{TODAY - timedelta(days=4)} 12:00:09 203.0.113.200 GET /b 200 - {agent}\n")
    out = run("import", *map(str, paths))
    assert out.count("13 lines (w3c): 10 looked at") == 2
    assert "19 lines (w3c): 14 looked at, 3 parts of pages, 2 unreadable" in out
    assert "u_ex2.log:17: its time is out of bounds" in out
    assert "counted: view 31" in out
    assert "not counted: host 3" in out
    again = run("import", *map(str, paths))
    assert again.count("counted before, 0 looked at") == 3
    assert views_of(run) == 31


def test_logs_that_begin_alike_are_told_apart(run: Run, tmp_path: Path) -> None:
    """Two servers that are asked for their health in the same second, by whoever shares the load between them."""
    day = TODAY - timedelta(days=4)
    paths = [log(tmp_path / f"{name}.log", range(25), day) for name in ("one", "other")]
    log(paths[0], range(100, 116), day)
    log(paths[1], range(200, 206), day)
    out = run("import", *map(str, paths))
    assert "counted before" not in out
    assert views_of(run) == 41 + 31
    for path in paths:
        log(path, range(300, 310), TODAY - timedelta(days=3))
    out = run("import", *map(str, paths))
    assert "51 lines (combined): 41 counted before, 10 looked at" in out
    assert "41 lines (combined): 31 counted before, 10 looked at" in out
    assert views_of(run) == 92


@pytest.mark.parametrize("together", [False, True], ids=["two logs", "put together"])
def test_days_are_closed_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, together: bool
) -> None:
    """Each once all of it is counted, in whatever order logs come and whatever is in them."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "site.yaml").write_text(f"{SITE}store: chdb://{tmp_path}/store\n")
    monkeypatch.setenv("VESTIBULE_SECRET", "a secret that is long enough")
    monkeypatch.setattr(importing, "BATCH", 10)
    days = [TODAY - timedelta(days=9 - number) for number in range(5)]
    late, early = tmp_path / "late.log", tmp_path / "early.log"
    for number, day in enumerate(days):
        if number:
            log(late, range(40), day)
        if number < 4:
            log(early, range(100, 130), day)
    paths = [late, early]
    if together:
        late.write_text(late.read_text() + early.read_text())
        paths = [late]
    closed: list[str] = []
    counted: list[int] = []
    last: list[Any] = []

    @contextmanager
    def watched(*given: Any) -> Iterator[Any]:
        with recorder(*given) as call:

            def ask(name: str, **params: Any) -> Any:
                answer = call(name, **params)
                if name == "count":
                    counted.append(len(params["hits"]))
                elif name == "done":
                    closed.extend(answer)
                    counted.append(0)
                elif name == "finish":
                    last.extend(answer["closed"])
                return answer

            yield ask

    monkeypatch.setattr(importing, "recorder", watched)
    importing.import_logs(folder, tmp_path / "state", paths, "")
    # Put together, all of the last day comes before the first day does.
    assert closed == [str(day) for day in ((days[4], *days[:4]) if together else days)]
    assert last == []
    assert sum(counted[: counted.index(0)]) == (160 if together else 30)
    out = capsys.readouterr().out
    assert f"closed: {', '.join(map(str, days))}" in out
    assert "not counted: nothing" in out
    assert "view 280" in out


def days_later(folder: Path, tables: Tables) -> Site:
    """A recorder's site, when the day of ``views`` has been over for long."""
    site = Site(folder, tables)
    site.clock.now += 5 * 86_400
    return site


def test_a_day_that_two_imports_add_to_is_closed_when_both_have_ended(tmp_path: Path, tables: Tables) -> None:
    """And visits of a day end with it, though nothing later has come."""

    async def body(recorder: Recorder, calls: Calls) -> None:
        for name in ("one", "other"):
            rows = [hit.to_json() for hit in views({f"/{name}": 10})]
            await calls("count", {"hits": rows, "known_by": [name], "lines": 10, "import": name})
        day = "2026-11-22"
        assert await calls("done", {"days": [day], "import": "one"}) == []
        assert await calls("finish", {"import": "one"}) | {"facts": {}} == {"facts": {}, "drops": {}, "closed": []}
        assert await calls("done", {"days": ["2026-11-21"], "import": "other"}) == []
        assert await calls("done", {"days": [day], "import": "other"}) == [day]
        answer = await calls("breakdown", {"kind": "visit", "by": "entry", "from": day, "to": day})
        assert {row["value"]: row["count"] for row in answer["rows"]} == {"/one": 10}
        for wrong in ("2026-11-22", [1], ["yesterday"]):
            with pytest.raises(RequestError):
                await calls("done", {"days": wrong})

    days_later(tmp_path, tables).run(body)


def test_a_day_stays_open_that_an_import_will_bring_more_of(tmp_path: Path, tables: Tables) -> None:
    """It says so at its begin. And what one counted that was cut short is not told by the next."""

    async def body(recorder: Recorder, calls: Calls) -> None:
        day = "2026-11-22"
        rows = [hit.to_json() for hit in views({"/": 10})]
        await calls("begin", {"days": [day], "import": "one"})
        await calls("begin", {"days": [day], "import": "other"})
        await calls("count", {"hits": rows, "import": "other"})
        assert (await calls("finish", {"import": "other"}))["closed"] == []
        await calls("count", {"hits": rows, "import": "one"})
        recorder.importing._imports.clear()  # as after ten minutes
        await calls("begin", {"days": [day], "import": "next"})
        answer = await calls("finish", {"import": "next"})
        assert answer["closed"] == [day]
        assert answer["facts"].get("view", 0) == 0

    days_later(tmp_path, tables).run(body)


def test_a_day_whose_hits_cannot_be_written_stays_open(
    tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        day = "2026-11-22"

        def full(*_: Any) -> int:
            raise SpoolError("spool: the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(Spool, "append", full)
            await calls("count", {"hits": [hit.to_json() for hit in views({"/": 10})]})
            assert await calls("done", {"days": [day]}) == []
            with pytest.raises(SpoolError, match="full"):
                await calls("finish", {})
            assert await calls("close_day", {"day": day}) == []
        assert (await calls("finish", {}))["closed"] == [day]
        answer = await calls("timeseries", {"interval": "day", "from": day, "to": day})
        assert answer["points"][0]["count"] == 10

    days_later(tmp_path, tables).run(body)


def test_while_the_store_is_away_days_wait_for_the_end(
    tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        tried: list[int] = []

        async def away() -> None:
            tried.append(1)
            raise StoreError("store: away")

        await calls("count", {"hits": [hit.to_json() for hit in views({"/": 10})]})
        with monkeypatch.context() as patch:
            patch.setattr(recorder._shipping, "ship", away)
            for _ in range(3):
                assert await calls("done", {"days": ["2026-11-22"]}) == []
            with pytest.raises(StoreError):
                await calls("finish", {})
        assert len(tried) == 2, "who knows that it is away does not try again for each day"
        assert (await calls("finish", {}))["closed"] == ["2026-11-22"]

    days_later(tmp_path, tables).run(body)


@pytest.mark.parametrize(
    ("lines", "numbers"),
    [
        (["one"], [1]),
        (["one", "two"], [1, 2]),
        (["one", "two", "three"], [1, 2, 3]),
        (["", "one", "", "two"], [2, 4]),
        (["#a", "#b", "one", "#c", "two"], [3, 5]),
        (["#a"] * 3, [3]),
        ([""], [1]),
        ([], [0]),
    ],
)
def test_what_a_log_is_known_by(lines: list[str], numbers: list[int]) -> None:
    """Its first line, its first two and so on; directives are no line of their own."""
    found = reading.known_by(lines)
    assert [number for number, _ in found] == numbers
    assert [reading.known_by(lines[:number])[-1] for number in numbers] == found
    for place in range(numbers[0]):
        other = [*lines[:place], "other", *lines[place + 1 :]]
        assert not {digest for _, digest in reading.known_by(other)} & {digest for _, digest in found}


@pytest.mark.parametrize("error", [OverflowError, RecursionError, KeyError, TypeError, UnicodeEncodeError])
def test_a_parser_that_fails_costs_one_line(error: type[Exception]) -> None:
    class Broken:
        name = "broken"

        def parse(self, line: str) -> Hit | None:
            if line == "bad":
                raise error("utf-8", "jane", 0, 1, "jane") if error is UnicodeEncodeError else error("jane")
            return Hit("example.test", 1.8e9, host=line)

    tally = reading.Tally()
    site = Site_(name="example.test", hosts=("www.example.test", "192.0.2.1"), upstream="http://127.0.0.1:1")
    lines = ["example.test", "bad", "WWW.example.test:443", "192.0.2.1:443", "other.test", "www.other.test:80"]
    hits = list(reading.hits(Broken(), lines, tally, site))
    assert [hit.host for hit in hits] == [lines[0], lines[2], lines[3]]
    assert (tally.hits, tally.elsewhere, tally.unreadable) == (5, 2, 1)
    assert tally.samples == [(2, f"it cannot be read ({error.__name__})")]


def test_lines_of_other_hosts_are_told_by_the_request_too() -> None:
    """As programs write it that look for open proxies."""
    tally = reading.Tally()
    site = Site_(name="example.test", hosts=("example.test",), upstream="http://127.0.0.1:1")
    line = '203.0.113.7 - - [18/Nov/2026:13:01:02 +0100] "GET {} HTTP/1.1" 200 5120'
    targets = ["/a", "http://other.test/b", "http://Example.test:80/c", "http://example.test.other.test/d", "http:///e"]
    hits = list(reading.hits(logs.parser("common", site.name), map(line.format, targets), tally, site))
    assert [hit.path for hit in hits] == ["/a", "/c"]
    assert (tally.hits, tally.elsewhere, tally.samples) == (4, 2, [(5, "no host in the request")])


@pytest.mark.parametrize("letter", ["x", "\x01", "é", "\U0001f600", "\ud800\U0001f600"])
def test_what_visitors_wrote_makes_no_message_too_long(letter: str) -> None:
    hits = [Hit("example.test", 1.8e9, agent=letter * (MAX_LINE // len(letter))) for _ in range(200)]
    batches = list(importing._batches(iter(hits)))
    assert [hit for batch in batches for hit in batch] == hits
    for batch in batches:
        assert len(pack({"call": "count", "with": {"hits": [hit.to_json() for hit in batch]}})) <= MAX_FRAME
    short = [Hit("example.test", 1.8e9)] * (importing.BATCH + 1)
    assert [len(batch) for batch in importing._batches(iter(short))] == [importing.BATCH, 1]


def test_unreadable_lines_are_told_by_number_and_without_their_words(run: Run, tmp_path: Path) -> None:
    path = log(tmp_path / "access.log", range(5), TODAY - timedelta(days=4))
    with path.open("a") as file:
        file.writelines(f"jane@example.com was here {number}\n" for number in range(9))
    out = run("import", str(path))
    assert "9 unreadable" in out
    assert out.count("not a line of the combined format") == 5
    assert f"{path}:6: " in out
    assert "jane" not in out


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_log_that_breaks_off_costs_neither_its_lines_nor_the_others(
    run: Run, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    """Lines that are all different, so that a part of the packed log holds a part of them."""
    some, day = random.Random(1), TODAY - timedelta(days=4)
    lines = [combined(f"203.0.113.{number % 250}", day, f"/{some.getrandbits(64):x}") for number in range(1500)]
    cut, other = tmp_path / "cut.log.gz", log(tmp_path / "other.log", range(30), TODAY - timedelta(days=3))
    packed = compress("".join(lines).encode())
    cut.write_bytes(packed[: -len(packed) // 5])
    out, err = run("import", str(cut), str(other), fails=True)
    (found,) = re.findall(r"cut.log.gz: ([\d,]+) lines", out)
    read = int(found.replace(",", ""))
    assert 500 < read < 1500
    assert read % importing.BATCH, "the last of them fill no message"
    assert "30 lines (combined): 30 looked at" in out
    assert f"counted: view {read + 30:,}" in out
    assert f"closed: {day}, " in out
    warning, error = err.strip().splitlines()
    assert warning.startswith(f"warning: {cut}: no more could be read after line {found}: the log ends in the middle")
    assert error.startswith(f"import: could not be read to the end: {cut}; what came before is counted")
    assert "203.0.113" not in out + err
    assert views_of(run) == read + 30
    cut.write_bytes(packed)
    out = run("import", str(cut))
    assert f"1,500 lines (combined): {found} counted before, {1500 - read:,} looked at" in out
    assert "--again counts it whole" in out


@pytest.mark.parametrize("before", [0, 4])
def test_every_line_falls_in_one_category(before: int) -> None:
    tally = reading.Tally(before=before)
    site = Site_(name="example.test", hosts=("example.test",), upstream="http://127.0.0.1:1")
    line = combined("203.0.113.7", TODAY, "/a").rstrip("\n")
    lines = ["", line, "#x", line.replace("/a", "/a.css"), "", line, "#x", line.replace("/a", "/a.css"), "jane", line]
    hits = list(reading.hits(logs.parser("combined", site.name), lines, tally, site))
    assert len(hits) == tally.hits == (2 if before else 3)
    assert (tally.skipped, tally.unreadable) == ((2, 2) if before else (4, 3))
    assert tally.before + tally.hits + tally.skipped + tally.unreadable == tally.lines == len(lines)


def test_an_import_that_is_killed_goes_on_where_it_ended(tmp_path: Path, tables: Tables) -> None:
    """What was acknowledged but not written when the recorder died is asked for again; the rest is not."""
    site = Site(tmp_path, tables)
    hits = [hit._replace(time=hit.time + number) for number, hit in enumerate(views({"/": 30, "/a": 30, "/b": 30}))]
    known_by = [[1, "one line"], [2, "two lines"], [4, "four lines"]]

    async def life(body: Callable[[Recorder, Calls], Any], *, stop: bool) -> None:
        recorder = Recorder(site.plan, site.folder, tables, clock=Clock())
        await recorder.start()
        await body(recorder, Calls(recorder, Backend(recorder)))
        if stop:
            await recorder.stop()
        else:
            # As if killed: nothing more is written, and the store's folder is free again.
            await recorder.store.close()
            await recorder._spool.close()
            await recorder._consents.close()

    def given(some: list[Hit], lines: int) -> dict[str, Any]:
        return {"hits": [hit.to_json() for hit in some], "known_by": [digest for _, digest in known_by], "lines": lines}

    async def before(recorder: Recorder, calls: Calls) -> None:
        assert await calls("counted", {"known_by": known_by}) == 0
        await calls("count", given(hits[:30], 30))
        await recorder.flush()
        await calls("count", given(hits[30:60], 60))

    async def after(recorder: Recorder, calls: Calls) -> None:
        done = await calls("counted", {"known_by": known_by})
        assert done == 30
        await calls("count", given(hits[done:], 90))
        await calls("finish", {})
        assert await calls("counted", {"known_by": known_by}) == 90
        assert await calls("counted", {"known_by": known_by[:1]}) == 90
        assert await calls("counted", {"known_by": [*known_by, [8, "others"]]}) == 0
        assert await calls("counted", {"known_by": [known_by[0], [2, "others"]]}) == 0
        assert await calls("counted", {"known_by": [[1, "of another log"]]}) == 0
        answer = await calls("timeseries", {"interval": "day", "from": "2026-11-22", "to": "2026-11-22"})
        assert answer["points"][0]["count"] == 90

    asyncio.run(life(before, stop=False))
    asyncio.run(life(after, stop=True))
    for _, digest in known_by:
        assert str(digest).encode() not in (tmp_path / "spool.sqlite").read_bytes()


# -- earlier periods ---------------------------------------------------------------------------------------------------

ASKED: dict[str, Any] = {"site": "relaso.com", "kind": "view"}


@pytest.mark.parametrize(
    ("start", "end", "period", "wanted"),
    [
        (date(2026, 11, 22), date(2026, 11, 22), "previous", (date(2026, 11, 21), date(2026, 11, 21))),
        (date(2026, 11, 16), date(2026, 11, 22), "previous", (date(2026, 11, 9), date(2026, 11, 15))),
        (date(2026, 3, 1), date(2026, 3, 31), "previous", (date(2026, 1, 29), date(2026, 2, 28))),
        (date(2026, 11, 16), date(2026, 11, 22), "year", (date(2025, 11, 17), date(2025, 11, 23))),
    ],
)
def test_earlier_periods(start: date, end: date, period: str, wanted: tuple[date, date]) -> None:
    for question in (
        Breakdown(**ASKED, start=start, end=end, by="page", limit=3),
        TimeSeries(**ASKED, start=start, end=end, interval="day", timezone="UTC"),
    ):
        before = comparing.earlier(question, period)
        assert (before.start, before.end) == wanted
        assert before.kind == question.kind


def test_what_was_not_told_then_is_not_known() -> None:
    answer = {"rows": [{"value": "/a", "count": 9, "visitors": 8}, {"value": "/b", "count": 7, "visitors": 7}]}
    before = {
        "rows": [{"value": "/a", "count": 5, "visitors": 5}],
        "rare": {"count": 4, "visitors": 0},
        "provisional": False,
    }
    asked = Breakdown(**ASKED, start=TODAY, end=TODAY, by="page")
    found = comparing.beside(answer, before, asked)
    assert [row["before"] for row in found["rows"]] == [{"count": 5, "visitors": 5}, None]
    assert found["compared"]["rare"] == {"count": 4, "visitors": 0}


def test_comparing_through_the_commands(run: Run, tmp_path: Path) -> None:
    day = TODAY - timedelta(days=5)
    log(tmp_path / "one.log", range(40), day)
    log(tmp_path / "two.log", range(60), day + timedelta(days=1))
    run("import", str(tmp_path / "one.log"), str(tmp_path / "two.log"))
    period = ("--from", str(day + timedelta(days=1)), "--to", str(day + timedelta(days=1)), "--compare", "previous")
    answer = json.loads(run("stats", "breakdown", "--by", "page", *period))
    assert {row["value"]: (row["count"], row["before"]["count"]) for row in answer["rows"]} == {
        f"/page-{number}": (15, 10) for number in range(4)
    }
    series = json.loads(run("stats", "timeseries", "--interval", "day", *period))
    assert [point["count"] for point in series["points"]] == [60]
    assert [point["count"] for point in series["compared"]["points"]] == [40]
    assert series["compared"]["from"] == str(day)


def test_an_unknown_comparison_is_refused(tmp_path: Path, tables: Tables) -> None:
    async def body(_: Recorder, calls: Calls) -> None:
        with pytest.raises(RequestError, match="previous, year"):
            await calls("breakdown", {"by": "page", "compare": "decade"})

    Site(tmp_path, tables).run(body)
