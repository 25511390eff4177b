"""Where a consent record waits while the recorder is away: one JSON object a line, on disk before the visitor is
answered. The recorder takes the file over when it is back.

A record holds a random id, an hour and what was agreed to; nothing of the visitor. The file is bounded: beyond
``MAX_BYTES`` a record is refused, and with it the choice, since a choice without proof is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from vestibule.core.errors import LinkError

MAX_BYTES = 64 << 20
FOLDER = "journal"


class Journal:
    """Appends to a file of this process's own in ``STATE/journal``."""

    def __init__(self, state: Path) -> None:
        self._path = state / FOLDER / f"{os.getpid()}.jsonl"

    def append(self, record: Mapping[str, object]) -> None:
        """Write a record and wait until it is on disk. Raises LinkError where it cannot be kept."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if os.fstat(file).st_size > MAX_BYTES:
                    raise LinkError("the journal of consent records is full; is the recorder running?")
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise LinkError(f"a consent record could not be kept: {error.strerror}") from error
