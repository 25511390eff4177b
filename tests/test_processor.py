"""The recorder keeps to one processor, and leaves it where others take it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.counting import processor
from vestibule.counting.processor import Look, best

TWO = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="of Linux with two processors"
)

BEFORE = Look(100.0, 7.0, {0: 50.0, 1: 60.0, 4: 10.0})


def after(ran: float, *idle: float) -> Look:
    """Five seconds later."""
    return Look(
        105.0, 7.0 + ran, {core: BEFORE.idle[core] + more for core, more in zip(BEFORE.idle, idle, strict=False)}
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(after(0.0, 5.0, 5.0, 5.0), 0, id="nobody is there"),
        pytest.param(after(5.0, 0.0, 5.0, 5.0), 0, id="it alone takes all of it"),
        pytest.param(after(2.0, 3.0, 5.0, 5.0), 0, id="it is held to a share of the time"),
        pytest.param(after(0.2, 0.0, 0.0, 0.1), 0, id="others take all of all"),
        pytest.param(after(1.7, 0.3, 0.0, 0.0), 0, id="others take more elsewhere"),
        pytest.param(after(0.2, 0.0, 0.0, 5.0), 4, id="others take all of it, and leave one"),
        pytest.param(after(0.0, 0.0, 2.0, 1.5), 1, id="it waits, and does nothing"),
        pytest.param(after(2.5, 0.0, 3.7, 3.7), 0, id="hardly better"),
        pytest.param(after(2.5, 0.0, 3.8, 3.7), 1, id="better"),
        pytest.param(Look(105.0, 7.0, {1: 60.0, 4: 12.0}), 4, id="it is gone"),
        pytest.param(Look(105.0, 7.0, {}), 0, id="nothing is known"),
        pytest.param(Look(100.0, 7.0, BEFORE.idle), 0, id="no time has passed"),
    ],
)
def test_which_processor_is_best(now: Look, expected: int) -> None:
    assert best(BEFORE, now, 0, (0, 1, 4)) == expected


@given(st.floats(0, 5), st.lists(st.floats(0, 5), min_size=3, max_size=3))
def test_who_went_does_not_go_back(ran: float, idle: Sequence[float]) -> None:
    """Where others go on as they did."""
    first = best(BEFORE, after(ran, *idle), 0, (0, 1, 4))
    free = dict(zip(BEFORE.idle, idle, strict=True))
    free[0] += ran
    wants = min(free[first], ran if first == 0 else 5.0)
    free[first] -= wants
    assert best(BEFORE, after(wants, *free.values()), first, (0, 1, 4)) == first


@pytest.mark.parametrize("text", ["", "cpu0 a b c d e", "cpu0 1 2", "intr 1 2 3\n", "\x00", None])
def test_a_system_that_tells_nothing(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it stays as it is."""
    path = tmp_path / "stat"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(processor, "_STATISTICS", path)
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    processor.keep_to_one(cores=(0, 1))
    assert before is None or os.sched_getaffinity(0) == before


HOLDING = """\
    import sys, threading, time
    from pathlib import Path
    from vestibule.counting import processor

    def burn():
        while True:
            sum(range(10_000))

    def come_and_go():
        while True:
            threading.Thread(target=time.sleep, args=(0.001,)).start()
            time.sleep(0.002)

    threading.Thread(target=come_and_go, daemon=True).start()
    processor._STATISTICS = Path({statistics!r})
    processor.keep_to_one(0.2, {cores})
    threading.Thread(target=burn, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
"""
"""A process whose first thread does nothing, and others come and go all the time."""


@contextmanager
def begun(code: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def where(process: int) -> set[int]:
    """On which processors the threads may be, but those that are just ending."""
    found = set()
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(ProcessLookupError):
            found |= os.sched_getaffinity(int(task.name))
    return found


def within(seconds: float, true: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def tell(path: Path, cores: Sequence[int], taken: Set[int] = frozenset()) -> None:
    """Write what ``/proc/stat`` would say of processors that are idle, but for some that others have taken."""
    ticks = time.monotonic() * os.sysconf("SC_CLK_TCK")
    new = path.with_suffix(".new")
    new.write_text("".join(f"cpu{core} 1 2 3 {0 if core in taken else ticks:.0f} 5 6\n" for core in cores))
    new.replace(path)


@TWO
def test_all_threads_leave_a_processor_that_others_take(tmp_path: Path) -> None:
    cores, path = sorted(os.sched_getaffinity(0)), tmp_path / "stat"
    tell(path, cores)
    with begun(HOLDING.format(statistics=str(path), cores=cores)) as process:
        within(30, lambda: len(where(process.pid)) == 1)
        first = where(process.pid)

        def has_left() -> bool:
            tell(path, cores, first)
            there = where(process.pid)
            return len(there) == 1 and there != first

        within(30, has_left)
        second = where(process.pid)
        for _ in range(20):
            tell(path, cores, first)
            time.sleep(0.05)
        within(30, lambda: where(process.pid) == second)
        path.unlink()  # it goes on, though nothing is known for a time
        time.sleep(0.5)
        tell(path, cores, second)
        first = second
        within(30, has_left)


@TWO
def test_who_is_moved_by_somebody_else_goes_back(tmp_path: Path) -> None:
    cores, path = sorted(os.sched_getaffinity(0)), tmp_path / "stat"
    tell(path, cores)
    with begun(HOLDING.format(statistics=str(path), cores=cores)) as process:
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)
        within(30, lambda: len(where(process.pid)) == 1)


@TWO
def test_a_system_that_refuses_is_no_reason_to_end(tmp_path: Path) -> None:
    cores, path = (4095, 4096), tmp_path / "stat"
    tell(path, cores)
    with begun(HOLDING.format(statistics=str(path), cores=cores)) as process:
        time.sleep(0.7)
        assert where(process.pid) == os.sched_getaffinity(0)
        assert process.poll() is None


@TWO
def test_what_this_system_tells() -> None:
    before = processor._look()
    time.sleep(0.3)
    after = processor._look()
    assert before is not None
    assert after is not None
    assert after.idle.keys() >= os.sched_getaffinity(0)
    for core, idle in after.idle.items():
        # What was idle while something waited for a disk may be counted anew (proc_stat(5)).
        assert abs(idle - before.idle[core]) <= after.at - before.at + 1


@pytest.mark.parametrize("cores", [(), (0,)])
def test_nothing_is_done_where_there_is_no_choice(cores: tuple[int, ...]) -> None:
    code = dedent(f"""\
        import threading
        from vestibule.counting.processor import keep_to_one
        keep_to_one(cores={cores})
        print(threading.active_count())
    """)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told == "1\n"
