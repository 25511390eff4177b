"""Keeps the recorder, and with it the engine's threads, on one processor, so that pages have the others.

Where its threads are on all of them, a page waits now and then for one: who is woken is let in before a process that
has stepped back, but not before the kernel has ended what it does for that one. So the kernel wakes pages where
nobody is.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CROWDED = 0.5
"""Where others take more than this share of the processor, another one is tried."""
EVERY = 5.0
"""Seconds between two looks."""

_TASKS = Path("/proc/self/task")
_STATISTICS = Path("/proc/self/schedstat")
"""Of the first thread, in nanoseconds: how long it has run, and how long it has waited for a processor
(Documentation/scheduler/sched-stats.rst)."""


class Used(NamedTuple):
    """What there was by a moment, in seconds. ran: of all threads; waited: of the first, for a processor."""

    at: float
    ran: float
    waited: float


def is_crowded(before: Used, now: Used) -> bool:
    """Whether others took the processor from this process between two moments: its first thread waited for most of
    that time, and not for its own other threads."""
    share = (now.at - before.at) * CROWDED
    return now.waited - before.waited > share > now.ran - before.ran


def keep_to_one(every: float = EVERY, cores: Sequence[int] | None = None) -> None:
    """Be on one processor from now on, in all threads, also those to come; on another where others take that one.

    every: seconds between two looks at that. cores: which to choose from, by default those that this process may be
    on. Nothing is done where there is but one, or the system does not tell who waits (it is not Linux, or has no
    ``/proc/self/schedstat``).
    """
    cores = _allowed() if cores is None else cores
    used = _used()
    if len(cores) > 1 and used is not None:
        place = os.getpid() % len(cores)  # recorders that are beside each other begin on different ones, mostly
        _move(cores[place])
        threading.Thread(target=_watch, args=(cores, place, every, used), name="processor", daemon=True).start()


def _watch(cores: Sequence[int], place: int, every: float, before: Used) -> None:
    while True:
        time.sleep(every)
        now = _used()
        if now is None:
            return
        if is_crowded(before, now):
            place = (place + 1) % len(cores)
            _move(cores[place])
        before = now


def _move(core: int) -> None:
    for _ in range(2):  # a thread that began meanwhile is where the one is that began it
        for task in _TASKS.iterdir():
            try:
                os.sched_setaffinity(int(task.name), {core})
            except ProcessLookupError:
                continue  # it has ended
            except OSError:
                return  # nobody may be there any more: all stay where they are


def _allowed() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ()


def _used() -> Used | None:
    try:
        waited = int(_STATISTICS.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
    return Used(time.monotonic(), time.process_time(), waited)
