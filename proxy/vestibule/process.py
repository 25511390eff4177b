"""What our processes share as processes: how they tell that they answer, and how they speak to the operator."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

READY = "VESTIBULE_READY_FD"
"""Names the pipe on which a child says (one byte) that it answers."""

AGAIN = "VESTIBULE_AGAIN"
"""Set for a child that replaces one that died."""

ADMIN = "VESTIBULE_ADMIN_FD"
"""Names the inherited listeners of the admin app, for the recorder."""

BEGUN = "config.begun"
"""Folder in the state folder that holds the configuration as the supervisor's first processes read it. The supervisor
removes it before it starts any."""

FORM = "VESTIBULE_LOG"
"""Says how processes speak: ``text``, a line of words for each thing, or ``json``, an object on a line."""

EVENTS = frozenset({"vestibule.live", "vestibule.worker", "vestibule.recorder"})
"""Loggers that speak once for each thing that happens; others may be heard at every request."""

LONGEST_SLICE = 100_000_000
"""Nanoseconds that a process may ask for at a time at most."""

_SCHED_SETATTR: Mapping[str, int] = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The number of that system call, by machine; the C library has no name for it before glibc 2.41."""

_LIBRARIES: Mapping[str, int] = {
    "uvicorn": logging.ERROR,
    "clickhouse_connect": logging.CRITICAL,
    "urllib3.connectionpool": logging.CRITICAL,  # who speaks: ClickHouse's driver sets the level of urllib3 as a whole
    "opentelemetry": logging.ERROR,
}


def ready() -> None:
    """Tell the supervisor that this process answers."""
    descriptor = os.environ.pop(READY, "")
    if descriptor.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(descriptor), b"1")
            os.close(int(descriptor))


def give_back() -> None:
    """Return to the system what memory is free (malloc_trim(3), glibc's): after a crowd has gone, much of it lies
    between what is in use, where nothing else would find it."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def step_back(nice: int, slice_: int = LONGEST_SLICE) -> None:
    """Let other processes have the processor first, from now on and in all threads to come.

    nice: as for nice(2), by which others get more of it. slice_: nanoseconds that this process asks for at a time. Who
    asks for less is let in at once (sched_setattr(2), since Linux 6.12; ``PREEMPT_SHORT`` in kernel/sched/features.h),
    where else it waits for the end of a slice that has begun, some 4 ms. Elsewhere only ``nice`` counts, as it does for
    a process that somebody gave another policy than the two that know slices.
    """
    nice = max(nice, os.getpriority(os.PRIO_PROCESS, 0))
    number = _SCHED_SETATTR.get(os.uname().machine)
    # A process of 32 bits on such a machine numbers its system calls otherwise.
    if number is not None and sys.platform == "linux" and struct.calcsize("P") == 8:
        with contextlib.suppress(AttributeError, OSError):
            policy = os.sched_getscheduler(0)
            # struct sched_attr
            attributes = struct.pack("=IIQiIQQQ", 48, policy, 0, nice, 0, slice_, 0, 0)
            knows = policy in {os.SCHED_OTHER, os.SCHED_BATCH}
            if knows and ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0:
                return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def address(listener: socket.socket) -> str:
    """``http://HOST:PORT`` as one would type it, or ``unix:/PATH``."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def say(words: str, process: str) -> None:
    """Tell the operator something that is no trouble, on stderr. process: who speaks, such as ``supervisor``."""
    line = _as_json(datetime.now(UTC), "info", process, words) if speaks_json() else f"vestibule: {words}"
    with contextlib.suppress(OSError):  # a closed terminal or log pipe is no reason to end
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def speaks_json() -> bool:
    return os.environ.get(FORM) == "json"


def _as_json(when: datetime, level: str, process: str, message: str) -> str:
    """time: UTC, ISO 8601 to the millisecond."""
    time = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": time, "level": level, "process": process, "message": message}, ensure_ascii=False)


def start_log(process: str) -> None:
    """Send what goes wrong to stderr. process: who speaks, such as ``worker 1``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terse(process))
    handler.addFilter(_Seldom())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    hush()


def hush() -> None:
    """Keep libraries quiet about what we say ourselves, and about what anyone could fill the log with."""
    for name, level in _LIBRARIES.items():
        logging.getLogger(name).setLevel(level)


class _Terse(logging.Formatter):
    """Of an exception its type and place only, of others' records the first line: more may hold what a visitor sent."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        words = record.getMessage().strip()
        if not record.name.startswith("vestibule"):
            words = words.partition("\n")[0]
        if record.exc_info and record.exc_info[1] is not None:
            words = f"{words}: {_place(record.exc_info[1])}"
        if speaks_json():
            return _as_json(datetime.fromtimestamp(record.created, UTC), record.levelname.lower(), self._process, words)
        return f"vestibule: {self._process}: {words}"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    return f"{type(error).__name__} at {where or 'unknown'}"


class _Seldom(logging.Filter):
    """Lets the same record pass once in ``EVERY`` seconds: what fails again and again must not fill the disk."""

    EVERY = 60.0
    MOST = 256

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name in EVENTS and not record.exc_info:
            return True
        now, words = record.created, record.getMessage()
        if now - self._said.get(words, now - self.EVERY) < self.EVERY:
            return False
        if len(self._said) >= self.MOST:
            self._said.clear()
        self._said[words] = now
        return True
