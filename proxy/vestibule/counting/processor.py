"""Keeps the recorder, and with it the engine's threads, on one processor, so that pages have the others.

Where its threads are on all of them, a page waits now and then for one: who is woken is let in before a process that
has stepped back, but not before the kernel has ended what it does for that one. So the kernel wakes pages where
nobody is.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

BETTER = 0.25
"""Another processor is taken where others leave more of it than of the present one, by this share of the time."""
EVERY = 5.0
"""Seconds between two looks, on average."""

_TASKS = Path("/proc/self/task")
_STATISTICS = Path("/proc/stat")
"""A line for each processor: its number, then how long it did what, since the start of the system (proc_stat(5))."""


class Look(NamedTuple):
    """What there was by a moment, in seconds. ran: how long all threads of this process have; idle: by processor, how
    long it had nothing to do."""

    at: float
    ran: float
    idle: Mapping[int, float]


def best(before: Look, now: Look, present: int, cores: Sequence[int]) -> int:
    """Return which processor to be on: the present one, unless others left more of another one by ``BETTER``.

    What this process has used is left by others, too: that it waits for its own threads, or is held to a share of the
    processors' time, is no reason to go.
    """
    passed = now.at - before.at
    left = {core: now.idle[core] - before.idle[core] for core in cores if core in before.idle and core in now.idle}
    if not left:
        return present
    emptiest = max(left, key=left.__getitem__)
    if present not in left:  # it was taken away
        return emptiest
    return emptiest if left[emptiest] > left[present] + now.ran - before.ran + passed * BETTER else present


def keep_to_one(every: float = EVERY, cores: Sequence[int] | None = None) -> None:
    """Be on one processor from now on, in all threads, also those to come; on another where others take that one.

    every: seconds between two looks at that. cores: which to choose from, by default those that this process may be on
    by now. Nothing is done where there is but one, or the system does not tell how busy they are (it is not Linux, or
    has no ``/proc/stat``).
    """
    cores = _allowed() if cores is None else cores
    first = _look()
    if len(cores) > 1 and first is not None and first.idle.keys() >= set(cores):
        present = cores[
            os.getpid() % len(cores)
        ]  # recorders that are beside each other begin on different ones, mostly
        _move(present)
        threading.Thread(target=_watch, args=(cores, present, every, first), name="processor", daemon=True).start()


def _watch(cores: Sequence[int], present: int, every: float, before: Look) -> None:
    while True:
        # Not in step with others who do the same: both would go, and meet again.
        time.sleep(every * random.uniform(0.5, 1.5))  # noqa: S311  # nobody gains by guessing it
        if (now := _look()) is not None:
            present = best(before, now, present, cores)
            before = now
        # Again, for a thread may have begun while the others were moved, or somebody else moved all.
        _move(present)


def _move(core: int) -> None:
    """Where the system refuses it, all stay where they are."""
    try:
        for task in _TASKS.iterdir():
            try:
                os.sched_setaffinity(int(task.name), {core})
            except ProcessLookupError:
                continue  # it has ended
    except OSError:
        return


def _allowed() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ()


def _look() -> Look | None:
    try:
        ticks = os.sysconf("SC_CLK_TCK")
        idle = {}
        for line in _STATISTICS.read_text("ascii").splitlines():
            name, _, numbers = line.partition(" ")
            if name.startswith("cpu") and name[3:].isdigit():
                fields = numbers.split()
                # The fourth and the fifth: with nothing to do, and nothing until a disk answers.
                idle[int(name[3:])] = (int(fields[3]) + int(fields[4])) / ticks
    except (OSError, ValueError, IndexError):
        return None
    return Look(time.monotonic(), time.process_time(), idle)
