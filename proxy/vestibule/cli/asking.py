"""What is asked of the recorder: through its socket where one runs, else of one that lives as long as the command.

``vestibule stats``, ``close-day``, ``purge`` and ``migrate`` are here whole; ``users`` and ``import`` ask through here.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from vestibule import config, link
from vestibule import serve as supervisor
from vestibule.config import Config
from vestibule.core.errors import VestibuleError
from vestibule.core.trees import level_of, levels_told
from vestibule.core.visit import DIMENSIONS
from vestibule.link import SOCKET

Call = Callable[..., Any]

PATIENCE = 900.0
"""Seconds that a command waits for an answer: closing many days takes minutes."""


def breakdown(
    directory: Path,
    state: Path,
    *,
    site: str,
    kind: str,
    by: str,
    start: str,
    end: str,
    where: str,
    limit: int,
    level: str,
    compare: str,
) -> None:
    """Print the breakdown as the stats API's JSON."""
    found = config.pick(config.load(directory, os.environ), site)
    _check("--by", by, _dimensions(kind))
    question = _question(found, kind, start, end, where, compare)
    if level and where:
        raise VestibuleError("--level: can't be asked together with --where")
    number = level_of(by, level) if level else None
    if level and number is None:
        raise VestibuleError(f"--level: must be {levels_told(by)}; is {level!r}")
    _print(ask(directory, state, "breakdown", of=site, **question, by=by, limit=limit, level=number))


def timeseries(
    directory: Path, state: Path, *, site: str, kind: str, interval: str, start: str, end: str, where: str, compare: str
) -> None:
    """Print the time series as the stats API's JSON."""
    found = config.pick(config.load(directory, os.environ), site)
    question = _question(found, kind, start, end, where, compare)
    _print(ask(directory, state, "timeseries", of=site, **question, interval=interval))


def running(state: Path) -> bool:
    """Whether a recorder answers in the state folder."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(state / SOCKET))
        except OSError:
            return False
    return True


@contextmanager
def recorder(directory: Path, state: Path, of: str = "") -> Iterator[Call]:
    """The running recorder, or one of our own for as long as the context lasts. Raises VestibuleError.

    One of our own holds the state folder, so that no other begins meanwhile. of: a further site, see ``config.pick``.
    """
    if running(state):
        named: dict[str, Any] = {"site": config.pick(config.load(directory, os.environ), of).profile} if of else {}
        yield partial(link.call, str(state / SOCKET), timeout=PATIENCE, **named)
        return
    from vestibule import process
    from vestibule.counting.local import local

    process.hush()
    found = config.pick(config.load(directory, os.environ), of)
    held = supervisor.lock(state)
    try:
        with local(found, state, supervisor.kept_secret(os.environ, state)) as call:
            yield call
    finally:
        os.close(held)


def ask(directory: Path, state: Path, name: str, /, *, of: str = "", **params: Any) -> Any:
    """The answer of the recorder to one call. of: a further site. Raises VestibuleError in its words, or where none can
    be had."""
    with recorder(directory, state, of) as call:
        return call(name, **params)


def close_day(directory: Path, state: Path, day: str, site: str) -> None:
    """Close a day, or all that are over, of one site or of all; prints which were."""
    only = _day("DATE", day, date.today()).isoformat() if day else None
    sites = [site] if site else [each.profile for each in config.load(directory, os.environ).everyone]
    closed = [each for of in sites for each in ask(directory, state, "close_day", of=of, day=only)]
    print("\n".join(f"{each}: closed" for each in closed) or "no day is to be closed")


def purge(directory: Path, state: Path) -> None:
    """Remove what is older than it may be."""
    ask(directory, state, "purge")
    print("what was older than it may be is removed")


def migrate(directory: Path, state: Path) -> None:
    """Bring the tables up to this version; prints the migrations that were made."""
    made = ask(directory, state, "migrate")
    print("\n".join(made) or "the tables are as they should be")


def _question(found: Config, kind: str, start: str, end: str, where: str, compare: str) -> Mapping[str, Any]:
    """The parameters that all questions share; days are ISO 8601, today (of the site's zone) where none is given."""
    _check("--kind", kind, tuple(DIMENSIONS))
    last = _day("--to", end, datetime.now(ZoneInfo(found.site.timezone)).date())
    first = _day("--from", start, last)
    if first > last:
        raise VestibuleError(f"--from: {first} is after {last}")
    if where:
        dimension, colon, value = where.partition(":")
        if not colon or not value:
            raise VestibuleError("--where: is DIMENSION:VALUE, such as country:DE")
        _check("--where", dimension, _dimensions(kind))
    return {"kind": kind, "from": first.isoformat(), "to": last.isoformat(), "where": where, "compare": compare}


def _dimensions(kind: str) -> tuple[str, ...]:
    """By what a kind of facts can be broken down and narrowed."""
    _check("--kind", kind, tuple(DIMENSIONS))
    if not DIMENSIONS[kind]:
        raise VestibuleError(f"--kind: {kind} has no dimensions; ask for its time series, without --where")
    return tuple(DIMENSIONS[kind])


def _check(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise VestibuleError(f"{option}: must be one of {', '.join(allowed)}; is {value!r}")


def _day(option: str, text: str, default: date) -> date:
    if not text:
        return default
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise VestibuleError(f"{option}: must be a day such as {default}; is {text!r}") from None


def _print(answer: Any) -> None:
    json.dump(answer, sys.stdout, ensure_ascii=False, indent=1)
    print()
