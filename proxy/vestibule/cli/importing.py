"""``vestibule import``: access logs through the pipeline that counts what is seen live."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vestibule import config
from vestibule.cli.asking import recorder
from vestibule.cli.looking_ahead import Ahead
from vestibule.cli.reading import Reading, Tally, opened
from vestibule.core.errors import VestibuleError
from vestibule.core.visit import Hit
from vestibule.recorder import logs

BATCH = 1000
"""Hits that are handed over at once."""

CHARACTERS = 1 << 19
"""From so many on no more hits go into a message (``link.MAX_FRAME``), where one takes twelve bytes at the most."""

AT_ONCE = 20
"""Days that are closed at once: each takes up to seconds."""

STDIN = "-"

Open = Callable[[Path], Any]


def import_logs(
    directory: Path, state: Path, files: Iterable[Path], format_: str, *, again: bool = False, of: str = ""
) -> None:
    """Count the logs one after the other, and close each day once all of it is counted and it is over; prints what
    became of the lines. (What comes from the standard input cannot be looked through before: then days are closed at
    the end.)

    A log is known by its first lines. Lines of it that were counted before are not counted twice, unless ``again``. of:
    the further site that they are of. Raises VestibuleError at the end where a log broke off: what could be read of it
    is counted, and so are the others.
    """
    site = config.pick(config.load(directory, os.environ), of).site
    given = list(dict.fromkeys(files))
    for path in given:
        if str(path) != STDIN and not path.is_file():
            pipe = "; a pipe is read with -" if path.exists() and not path.is_dir() else ""
            raise VestibuleError(f"import: {path} is no file{pipe}")
    if format_ and format_ not in logs.FORMATS:
        raise VestibuleError(f"import: --format: must be one of {', '.join(logs.FORMATS)}; is {format_!r}")
    reading = partial(opened, format_=format_, site=site)
    with _progress() as progress:
        ahead = None
        if STDIN not in map(str, given):
            ahead = Ahead(given, ZoneInfo(site.timezone), reading, _Bars(progress, "looking through ").move)
        with recorder(directory, state, of) as call:
            importing = _Importing(call, ahead, reading, _Bars(progress, ""), again=again)
            found = ahead.logs if ahead else given
            importing.begin()
            tallies = [importing.count(path) for path in found]
            figures = importing.finish()
    _report(figures, sum(tally.elsewhere for tally in tallies))
    broken = [str(path) for path, tally in zip(found, tallies, strict=True) if tally.broken]
    if broken:
        raise VestibuleError(
            f"import: could not be read to the end: {', '.join(broken)}; what came before is counted, and an import of"
            " the whole log goes on from there, for days that are not closed"
        )


class _Importing:
    """One import, by a name that tells it from others that go on meanwhile."""

    def __init__(
        self, call: Callable[..., Any], ahead: Ahead | None, reading: Open, bars: _Bars, *, again: bool
    ) -> None:
        self._ahead, self._reading, self._bars, self._again = ahead, reading, bars, again
        self._name = secrets.token_hex(8)
        self._call = call
        self._closed: list[str] = []

    def begin(self) -> None:
        """Tell of which days something comes: these stay open."""
        self._call("begin", days=self._ahead.days if self._ahead else [], **{"import": self._name})

    def count(self, path: Path) -> Tally:
        """Count one log, as far as it can be read."""
        with self._reading(path) as log:
            if self._ahead:
                self._ahead.check(path, log)
            self._count(path, log)
        tally: Tally = log.tally
        before = f" {min(tally.before, tally.lines):,} counted before," if tally.before else ""
        print(
            f"{path}: {tally.lines:,} lines ({log.format or 'empty'}):{before} {tally.hits:,} looked at,"
            f" {tally.skipped:,} parts of pages, {tally.unreadable:,} unreadable"
        )
        if tally.before:
            print(f"{path}: known by its first lines; if it is another log that begins alike, --again counts it whole")
        for line, reason in tally.samples:
            print(f"{path}:{line}: {reason}")
        if tally.cut:
            print(f"{path}: its last line has no end yet, and is not counted")
        if tally.broken:
            print(f"warning: {path}: no more could be read after line {tally.lines:,}: {tally.broken}", file=sys.stderr)
        return tally

    def finish(self) -> Mapping[str, Any]:
        """End the import; return what was counted, what was not, and the days that were closed."""
        figures = self._call("finish", **{"import": self._name})
        return {**figures, "closed": sorted({*self._closed, *figures["closed"]})}

    def _count(self, path: Path, log: Reading) -> None:
        tally = log.tally
        if not log.format:
            return
        if not self._again:
            tally.before = self._call("counted", known_by=log.known_by)
        sent = -1
        for batch in _batches(log.hits()):
            sent = self._send(path, log, batch)
        if max(sent, tally.before) < tally.lines and not log.unlike:
            self._send(path, log, [])

    def _send(self, path: Path, log: Reading, batch: list[Hit]) -> int:
        lines = log.tally.lines
        known_by = [digest for _, digest in log.known_by]
        hits = [hit.to_json() for hit in batch]
        self._call("count", hits=hits, known_by=known_by, lines=lines, **{"import": self._name})
        self._bars.move(path, log)
        days = self._ahead.done(path, lines) if self._ahead else []
        for start in range(0, len(days), AT_ONCE):
            self._closed += self._call("done", days=days[start : start + AT_ONCE], **{"import": self._name})
        return lines


def _batches(hits: Iterator[Hit]) -> Iterator[list[Hit]]:
    batch: list[Hit] = []
    characters = 0
    for hit in hits:
        batch.append(hit)
        characters += sum(len(part) for part in hit if isinstance(part, str))
        if len(batch) == BATCH or characters >= CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _Bars:
    """How far each log was read, where that is a terminal."""

    def __init__(self, progress: Progress, doing: str) -> None:
        self._progress, self._doing = progress, doing
        self._shown: tuple[Path, TaskID] | None = None

    def move(self, path: Path, log: Reading) -> None:
        if self._shown is None or self._shown[0] != path:
            if self._shown is not None:
                self._progress.remove_task(self._shown[1])
            self._shown = path, self._progress.add_task(self._doing + path.name, total=log.size or None)
        self._progress.update(self._shown[1], completed=log.position)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on stderr, where that is a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield progress


def _report(figures: Mapping[str, Any], elsewhere: int) -> None:
    drops = {**figures.get("drops", {}), **({"host": elsewhere} if elsewhere else {})}
    for title, numbers in (("counted", figures.get("facts", {})), ("not counted", drops)):
        shown = ", ".join(f"{name} {number:,}" for name, number in sorted(numbers.items()))
        print(f"{title}: {shown or 'nothing'}")
    if figures.get("closed"):
        print(f"closed: {', '.join(figures['closed'])}")
