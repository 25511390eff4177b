"""The recorder keeps to one processor, and leaves it where others take it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.counting.processor import Used, is_crowded

BEFORE = Used(100.0, 7.0, 3.0)
FEW = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2 or not Path("/proc/self/schedstat").exists(),
    reason="there is but one processor, or nothing tells who waits",
)


@pytest.mark.parametrize(
    ("ran", "waited", "expected"),
    [
        (0.0, 0.0, False),
        (5.0, 0.0, False),  # a release, alone on it
        (5.0, 4.9, False),  # it waits for its own engine
        (2.4, 2.4, False),
        (0.2, 4.8, True),
        (2.4, 2.6, True),
    ],
)
def test_where_others_take_the_processor(ran: float, waited: float, *, expected: bool) -> None:
    assert is_crowded(BEFORE, Used(105.0, 7.0 + ran, 3.0 + waited)) is expected


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0.1, 10))
def test_who_waits_longer_is_crowded_rather(ran: float, waited: float, more: float) -> None:
    def crowded(waited: float) -> bool:
        return is_crowded(BEFORE, Used(110.0, 7.0 + ran, 3.0 + waited))

    assert crowded(waited + more) >= crowded(waited)


def begun(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", dedent(code)], stdout=subprocess.PIPE, text=True)


@FEW
def test_all_threads_are_on_one_processor() -> None:
    process = begun("""\
        import os, threading
        from pathlib import Path
        from vestibule.counting.processor import keep_to_one
        stop = threading.Event()
        threading.Thread(target=stop.wait).start()
        keep_to_one()
        threading.Thread(target=stop.wait).start()
        where = [os.sched_getaffinity(int(task.name)) for task in Path("/proc/self/task").iterdir()]
        print(len(where), *{core for cores in where for core in cores})
        stop.set()
    """)
    number, *cores = process.communicate(timeout=60)[0].split()
    assert int(number) == 4  # that one which looks is among them
    assert len(cores) == 1
    assert int(cores[0]) in os.sched_getaffinity(0)


@FEW
def test_it_moves_on_where_others_take_its_processor() -> None:
    process = begun("""\
        from vestibule.counting.processor import keep_to_one
        from vestibule.process import step_back
        step_back(15)
        keep_to_one(0.2)
        print("ready", flush=True)
        while True:
            pass
    """)
    assert process.stdout is not None
    burners = []
    try:
        assert process.stdout.readline() == "ready\n"
        first = os.sched_getaffinity(process.pid)
        code = f"import os; os.sched_setaffinity(0, {first}); [0 for _ in iter(int, 1)]"
        burners.append(begun(code))
        end = time.monotonic() + 60
        while os.sched_getaffinity(process.pid) == first:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        for each in (process, *burners):
            each.kill()
            each.communicate()


@pytest.mark.parametrize("cores", [(), (0,)])
def test_nothing_is_done_where_there_is_no_choice(cores: tuple[int, ...]) -> None:
    code = f"""\
        import os, threading
        from vestibule.counting.processor import keep_to_one
        before = os.sched_getaffinity(0)
        keep_to_one(cores={cores})
        print(os.sched_getaffinity(0) == before, threading.active_count())
    """
    assert begun(code).communicate(timeout=60)[0].split() == ["True", "1"]
