"""The lines of an access log as hits, and what became of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from vestibule.config.models import Site
from vestibule.core.errors import VestibuleError
from vestibule.core.visit import Hit
from vestibule.privacy.visitor import hostname
from vestibule.recorder import logs

SAMPLES = 5
"""Unreadable lines of a log that are named, by number and reason: what is in them is nobody's to see."""

LOOK = 64
"""Lines of a log that are looked at to find its format out, and at most for what it is known by."""

_FAILURES = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""No parser means to raise these (but UnreadableError, which is one of them); a line is not worth the others."""


@dataclass(slots=True)
class Tally:
    """What became of a log's lines. before: were counted by an import that did not come to its end, or came to it and
    the log has grown since. skipped: parts of pages, directives and empty lines, which are not counted. elsewhere: hits
    of hosts that are not the site's, which get no answer live either. broken: why no more lines could be read. cut:
    the last line has no end, and is left for when it has one."""

    lines: int = 0
    before: int = 0
    hits: int = 0
    skipped: int = 0
    elsewhere: int = 0
    unreadable: int = 0
    broken: str = ""
    cut: bool = False
    samples: list[tuple[int, str]] = field(default_factory=list)

    def misread(self, reason: str) -> None:
        """Count the present line as unreadable."""
        self.unreadable += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((self.lines, reason))


class Reading:
    """A log that is read once, from its beginning, but for a last line that is being written. format: its name, empty
    where there are no lines. known_by: see ``known_by``. Raises VestibuleError where the format cannot be told."""

    def __init__(self, path: Path, log: logs.LogFile, format_: str, site: Site) -> None:
        self.tally = Tally()
        self._log, self._site = log, site
        rest = self._until_broken()
        first = list(islice(rest, LOOK))
        self.format = format_ or next(filter(None, map(logs.detect, first)), "")
        if not self.format and first:
            known = ", ".join(logs.FORMATS)
            raise VestibuleError(f"import: {path} is of no format that is known; --format names one of {known}")
        self.known_by = known_by(first)
        self._first = first
        self._lines = chain(first, rest)

    @property
    def beginning(self) -> tuple[int, str]:
        """How many lines were looked at, and their digest."""
        return len(self._first), self._digest(len(self._first))

    def begins(self, beginning: tuple[int, str]) -> bool:
        """Whether the log begins as one did whose ``beginning`` that was; it may have grown since."""
        return self._digest(beginning[0]) == beginning[1]

    def _digest(self, lines: int) -> str:
        text = "".join(f"{line}\n" for line in self._first[:lines])
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()

    @property
    def unlike(self) -> bool:
        """Whether there are lines, of which not one could be read."""
        return 0 < self.tally.lines == self.tally.unreadable

    @property
    def size(self) -> int:
        """Bytes of the file, 0 where unknown."""
        return self._log.size

    @property
    def position(self) -> int:
        """Bytes of it that were read."""
        return self._log.position

    def hits(self) -> Iterator[Hit]:
        """The hits that were not counted before; the tally goes with them."""
        if not self.format:
            return iter(())
        return hits(logs.parser(self.format, self._site.name), self._lines, self.tally, self._site)

    def _until_broken(self) -> Iterator[str]:
        """The lines, up to where the log breaks off: what was read is to be counted, and further logs too."""
        try:
            yield from self._log
            self.tally.cut = self._log.cut
        except ValueError as error:
            self.tally.broken = str(error)


@contextmanager
def opened(path: Path, format_: str, site: Site) -> Iterator[Reading]:
    """A log to be read; format_: empty where it is to be found out. Raises VestibuleError where it cannot be."""
    try:
        with logs.LogFile(path) as log:
            yield Reading(path, log, format_, site)
    except OSError as error:
        raise VestibuleError(f"import: {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise VestibuleError(f"import: {path}: {error}") from None


def known_by(lines: Sequence[str]) -> list[tuple[int, str]]:
    """What a log is known by: the digests of its first line, its first two and so on, each with the number of the last
    one. One that has grown begins as it did, and one that began alike goes on in another way soon.

    Directives, such as the name of the server's software in each day's log, belong to the first line that follows.
    """
    found: list[tuple[int, str]] = []
    digest = hashlib.blake2b(digest_size=16)
    for number, line in enumerate(lines, 1):
        digest.update(line.encode("utf-8", "replace") + b"\n")
        if line and not line.startswith("#"):
            found.append((number, digest.hexdigest()))
    return found or [(len(lines), digest.hexdigest())]


def hits(parser: logs.Parser, lines: Iterable[str], tally: Tally, site: Site) -> Iterator[Hit]:
    """The hits of lines that were not counted before. Lines of other hosts than the site's are none."""
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
