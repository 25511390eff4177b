"""What the supervisor is told, and how a process becomes one of ours."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vestibule import process
from vestibule.core.errors import VestibuleError


class ServeError(VestibuleError):
    """Vestibule cannot start; the message is one line and says what to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the supervisor knows.

    listen: ``HOST:PORT`` or ``unix:/PATH``. dashboard: ``HOST:PORT``. workers: how many. drain: seconds. upstream: for
    the ready line only.
    """

    config: str
    state: str
    listen: str
    dashboard: str
    upstream: str = ""
    workers: int = 1
    drain: float = 30.0
    dev: bool = False


def cores() -> int:
    """How many cores this process may use: affinity, and a control group's quota (cgroup v2) where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules.

    The current folder stays out of the module path (``-P``), so that no file that happens to lie there is imported;
    but for a checkout's own source root, when Vestibule is run from inside it.
    """
    root = Path(__file__).resolve().parents[2]
    safe = [] if root == Path.cwd() else ["-P"]
    return [sys.executable, *safe, "-m", module, *arguments]


def become(plan: Plan, environ: Mapping[str, str]) -> None:
    """Replace this process, keeping its id, by the supervisor of ``plan``. Does not return."""
    command = python("vestibule.serve", json.dumps(asdict(plan)))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, dict(environ))  # noqa: S606 - our own interpreter, no shell


def say(message: str) -> None:
    """One plain line for the operator, on stderr."""
    process.say(message, "supervisor")


def words(error: Exception) -> str:
    """What went wrong, in the system's words, without its number."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3)), where it asked to be told."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + path[1:] if path[0] == "@" else path)
        channel.sendall(message.encode("ascii"))
