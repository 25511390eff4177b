"""Where consent records wait while the recorder is away: both ends.

A worker appends one JSON object a line to a file of its own and waits for the disk before the visitor is answered. The
recorder takes the files over when it is back. A record holds a random id, an hour and what was agreed to; nothing of
the visitor.

The file is bounded: beyond ``MAX_BYTES`` a record is refused, and with it the choice, since a choice without proof is
none. Both ends lock the file, so that none is removed between being opened and being written.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestibule.core.errors import LinkError

MAX_BYTES = 64 << 20
FOLDER = "journal"
_TRIES = 10
_AT_A_TIME = 500

log = logging.getLogger("vestibule.journal")


class Journal:
    """A worker's end: a file of this process's own in ``STATE/journal``."""

    def __init__(self, state: Path) -> None:
        self._path = state / FOLDER / f"{os.getpid()}.jsonl"

    def append(self, record: Mapping[str, object]) -> None:
        """Write a record and wait until it is on disk. Raises LinkError where it cannot be kept."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(_TRIES):
                if self._append(line):
                    return
        except OSError as error:
            raise LinkError(f"a consent record could not be kept: {error.strerror}") from error
        raise LinkError("a consent record could not be kept: its file is being taken over again and again")

    def _append(self, line: bytes) -> bool:
        """Append if the file is still there once it is locked; a recorder may have taken it in between."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            state = os.fstat(file)
            if state.st_nlink == 0:
                return False
            if state.st_size + len(line) > MAX_BYTES:
                raise LinkError("the journal of consent records is full; is the recorder running?")
            if os.write(file, line) != len(line):
                os.ftruncate(file, state.st_size)
                raise LinkError("a consent record could not be kept: the disk is full")
            os.fsync(file)
            return True
        finally:
            os.close(file)


async def take_over(state: Path, keep: Callable[[Sequence[Mapping[str, Any]]], Awaitable[None]]) -> int:
    """The recorder's end: give every record that waits to ``keep``, many at a time, then remove its file. Returns how
    many there were.

    A file is removed only after ``keep`` has returned for all of it, so that a crash in between keeps a record twice
    rather than not at all. A line that a crash cut short was never answered for, and is left out.
    """
    taken = 0
    for path in sorted((state / FOLDER).glob("*.jsonl")):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its worker is writing; it is taken at the next look
            with os.fdopen(os.dup(file), "rb") as lines:
                # Many at a time, since the disk is waited for each time, and the file's worker waits meanwhile.
                while some := list(itertools.islice(lines, _AT_A_TIME)):
                    records = [record for line in some if (record := _record(line)) is not None]
                    if records:
                        await keep(records)
                    taken += len(records)
            path.unlink()
        finally:
            os.close(file)
    return taken


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        log.warning("a line of the journal of consent records is cut short; it was never answered for")
        return None
    return record if isinstance(record, dict) else None
