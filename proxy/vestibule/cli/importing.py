"""``vestibule import``: access logs through the pipeline that counts what is seen live."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from vestibule import config
from vestibule.cli.asking import recorder
from vestibule.config.models import Site
from vestibule.core.errors import VestibuleError
from vestibule.core.visit import Hit
from vestibule.privacy.visitor import hostname
from vestibule.recorder import logs

BATCH = 1000
"""Hits that are handed over at once."""

CHARACTERS = 1 << 19
"""From so many on no more hits go into a message (``link.MAX_FRAME``), where one takes twelve bytes at the most."""

SAMPLES = 5
"""Unreadable lines of a log that are named, by number and reason: what is in them is nobody's to see."""

LOOK = 50
"""Lines of a log that are looked at to find its format out, and at most for what it is known by."""

MAX_DIRECTIVE = 1000
"""Characters of a directive by which a log is known."""

_FAILURES = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""No parser means to raise these (but UnreadableError, which is one of them); a line is not worth the others."""


@dataclass(slots=True)
class Tally:
    """What became of a log's lines. before: were counted by an import that did not come to its end, or came to it and
    the log has grown since. skipped: parts of pages, directives and empty lines, which are not counted. elsewhere: hits
    of hosts that are not the site's, which get no answer live either. broken: why no more lines could be read."""

    lines: int = 0
    before: int = 0
    hits: int = 0
    skipped: int = 0
    elsewhere: int = 0
    unreadable: int = 0
    broken: str = ""
    samples: list[tuple[int, str]] = field(default_factory=list)

    def misread(self, reason: str) -> None:
        """Count the present line as unreadable."""
        self.unreadable += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((self.lines, reason))


def import_logs(
    directory: Path, state: Path, files: Iterable[Path], format_: str, *, again: bool = False, of: str = ""
) -> None:
    """Count the logs one after the other, then close the days that are over; prints what became of the lines.

    A log is known by its first lines. Lines of it that were counted before are not counted twice, unless ``again``. of:
    the further site that they are of. Raises VestibuleError at the end where a log broke off: what could be read of it
    is counted, and so are the others.
    """
    site = config.pick(config.load(directory, os.environ), of).site
    opened = list(files)
    for path in opened:
        if str(path) != "-" and not path.is_file():
            raise VestibuleError(f"import: {path} is no file")
    if format_ and format_ not in logs.FORMATS:
        raise VestibuleError(f"import: --format: must be one of {', '.join(logs.FORMATS)}; is {format_!r}")
    with recorder(directory, state, of) as call, _progress() as progress:
        tallies = [_import(path, format_, site, call, progress, again=again) for path in opened]
        figures = call("finish")
    _report(figures, sum(tally.elsewhere for tally in tallies))
    broken = [str(path) for path, tally in zip(opened, tallies, strict=True) if tally.broken]
    if broken:
        raise VestibuleError(
            f"import: could not be read to the end: {', '.join(broken)}; what came before is counted, and an import of"
            " the whole log goes on from there, for days that are not closed"
        )


def _import(
    path: Path, format_: str, site: Site, call: Callable[..., Any], progress: Progress, *, again: bool
) -> Tally:
    """Count one log, as far as it can be read."""
    tally = Tally()
    try:
        with logs.LogFile(path) as log:
            task = progress.add_task(path.name, total=log.size or None)
            lines = _until_broken(log, tally)
            first = list(islice(lines, LOOK))
            name = format_ or next(filter(None, map(logs.detect, first)), "")
            if not name and first:
                known = ", ".join(logs.FORMATS)
                raise VestibuleError(f"import: {path} is of no format that is known; --format names one of {known}")
            if first:
                known_by = _known_by(first)
                tally.before = 0 if again else call("counted", first=known_by)
                for batch in _batches(_hits(logs.parser(name, site.name), chain(first, lines), tally, site)):
                    call("count", hits=[hit.to_json() for hit in batch], first=known_by, lines=tally.lines)
                    progress.update(task, completed=log.position)
                if tally.lines > tally.before:
                    call("count", hits=[], first=known_by, lines=tally.lines)
            progress.update(task, completed=log.size)
    except OSError as error:
        raise VestibuleError(f"import: {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise VestibuleError(f"import: {path}: {error}") from None
    before = f" {min(tally.before, tally.lines):,} counted before," if tally.before else ""
    print(
        f"{path}: {tally.lines:,} lines ({name or 'empty'}):{before} {tally.hits:,} looked at,"
        f" {tally.skipped:,} parts of pages, {tally.unreadable:,} unreadable"
    )
    if tally.before:
        print(f"{path}: known by its first lines; if it is another log that begins alike, --again counts it whole")
    for line, reason in tally.samples:
        print(f"{path}:{line}: {reason}")
    if tally.broken:
        print(f"warning: {path}: no more could be read after line {tally.lines:,}: {tally.broken}", file=sys.stderr)
    return tally


def _until_broken(log: Iterable[str], tally: Tally) -> Iterator[str]:
    """The lines of a log, up to where it breaks off: what was read is to be counted, and further logs too."""
    try:
        yield from log
    except ValueError as error:
        tally.broken = str(error)


def _known_by(lines: Iterable[str]) -> str:
    """What a log is known by: its first line, but where that is a directive, such as the name of the server's software
    in each day's log, all lines until the first that tells of a request."""
    known_by: list[str] = []
    for line in lines:
        if line and not line.startswith("#"):
            return "\n".join((*known_by, line))
        known_by.append(line[:MAX_DIRECTIVE])
    return "\n".join(known_by) or "\n"


def _hits(parser: logs.Parser, lines: Iterable[str], tally: Tally, site: Site) -> Iterator[Hit]:
    hosts = frozenset(site.hosts)
    for line in lines:
        tally.lines += 1
        if tally.lines <= tally.before:
            # Directives name the columns of what follows; they are read however often a log is.
            if line.startswith("#"):
                with suppress(*_FAILURES):
                    parser.parse(line)
            continue
        if not line:
            tally.skipped += 1
            continue
        try:
            hit = parser.parse(line)
        except logs.UnreadableError as error:
            tally.misread(str(error))
            continue
        except _FAILURES as error:
            tally.misread(f"it cannot be read ({type(error).__name__})")
            continue
        if hit is None:
            tally.skipped += 1
            continue
        tally.hits += 1
        if hit.host != site.name and hostname(hit.host) not in hosts:
            tally.elsewhere += 1
            continue
        yield hit


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


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on stderr, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        yield progress


def _report(figures: Mapping[str, Any], elsewhere: int) -> None:
    drops = {**figures.get("drops", {}), **({"host": elsewhere} if elsewhere else {})}
    for title, numbers in (("counted", figures.get("facts", {})), ("not counted", drops)):
        shown = ", ".join(f"{name} {number:,}" for name, number in sorted(numbers.items()))
        print(f"{title}: {shown or 'nothing'}")
    if figures.get("closed"):
        print(f"closed: {', '.join(figures['closed'])}")
