"""``vestibule serve`` and ``vestibule recorder``: check everything that can be checked, then become the process."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from vestibule import config
from vestibule import serve as supervisor
from vestibule.serve import Plan, ServeError

MOST_WORKERS = 256


def serve(directory: Path, state: Path, workers: str, dev: bool) -> None:
    """Become the supervisor. Raises ConfigError or ServeError where it cannot start."""
    found = config.load(directory, os.environ)
    check_store(found.store)
    supervisor.secret(os.environ, state, dev=dev)
    plan = Plan(
        config=str(directory),
        state=str(state),
        listen=found.listen,
        dashboard=found.dashboard.listen,
        upstream=", ".join(dict.fromkeys(site.site.upstream for site in found.everyone)),
        workers=number_of_workers(workers or ("1" if dev else "auto")),
        drain=found.limits.drain_timeout,
        dev=dev,
    )
    supervisor.become(plan, os.environ)


def recorder(directory: Path, state: Path, dev: bool) -> None:
    """Become the recorder. Raises ConfigError or ServeError where it cannot start."""
    found = config.load(directory, os.environ)
    check_store(found.store)
    environ = {**os.environ, supervisor.SECRET: supervisor.secret(os.environ, state, dev=dev)}
    # The lock is held by the open descriptor, which the recorder inherits and never looks at.
    os.set_inheritable(supervisor.lock(state), True)
    command = supervisor.python("vestibule.counting", "--config", str(directory), "--state", str(state))
    sys.stdout.flush()
    os.execve(command[0], command, environ)  # noqa: S606 - our own interpreter, no shell


def check_store(store: str) -> None:
    """Raise ServeError where the store needs what is not installed, without loading it."""
    if store.startswith("chdb:") and importlib.util.find_spec("chdb") is None:
        raise ServeError('store: chdb:// needs the extra "embedded": pip install "vestibule[embedded]"')


def number_of_workers(text: str) -> int:
    """A number of processes from ``--workers``: 1 to 256, or ``auto``."""
    if text == "auto":
        return min(supervisor.cores(), MOST_WORKERS)
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise ServeError(f"--workers: must be a number from 1 to {MOST_WORKERS}, or auto; is {text!r}")
    return int(text)
