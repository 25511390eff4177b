"""Where lines go: a file or stdout, written by a thread, so that no request waits for a disk or a pipe.

At most ``MOST`` lines wait; what comes beyond is dropped, and how many were is written as a line of its own once there
is room. Several processes may write to the same file: each write is appended whole. A file that was moved or removed
(by logrotate) is opened anew within ``EVERY`` seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from pathlib import Path

OFF = "off"
STDOUT = "stdout"
MOST = 20_000
EVERY = 0.2
MODE = 0o640
_BATCH = 500

log = logging.getLogger("vestibule.access")


class Sink:
    """Takes lines until it is closed. to: ``stdout`` or an absolute path. Never raises, never waits."""

    def __init__(self, to: str, *, most: int = MOST) -> None:
        self._path = to
        self._most = most
        self._lines: deque[bytes] = deque()
        self._dropped = 0  # for want of room; counted by whoever writes
        self._lost = 0  # by the disk; counted by the thread
        self._told = 0
        self._file = -1
        self._closing = threading.Event()
        self._some = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line along; never waits. What there is no room for is counted."""
        if len(self._lines) >= self._most:
            self._dropped += 1
        else:
            self._lines.append(line)
        if not self._some.is_set():
            self._some.set()

    def close(self, patience: float = 0.0) -> None:
        """Write what there is and end; waits for that at most ``patience`` seconds."""
        self._closing.set()
        self._some.set()
        self._thread.join(patience)

    # What follows runs in the thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            self._some.wait()
            self._closing.wait(EVERY)
            self._some.clear()
            self._drain()
        self._drain()
        self._shut()

    def _drain(self) -> None:
        try:
            self._look()
            while self._lines:
                batch = [self._lines.popleft() for _ in range(min(_BATCH, len(self._lines)))]
                try:
                    self._put(b"".join(batch))
                except OSError:
                    self._lost += len(batch)
                    raise
            dropped = self._dropped + self._lost
            if dropped > self._told:
                self._put(b'{"dropped":%d}\n' % (dropped - self._told))
                self._told = dropped
        except OSError as error:
            log.warning("the access log cannot be written: %s", error.strerror)
            self._shut()

    def _look(self) -> None:
        """Have the file open that the path names now."""
        if self._path == STDOUT:
            self._file = 1
            return
        if self._file >= 0:
            with contextlib.suppress(FileNotFoundError):
                there, ours = Path(self._path).stat(), os.fstat(self._file)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return
            self._shut()
        # Without O_NONBLOCK a pipe would keep us until somebody reads it.
        self._file = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK, MODE
        )
        os.set_blocking(self._file, True)

    def _put(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]

    def _shut(self) -> None:
        if self._path != STDOUT and self._file >= 0:
            os.close(self._file)
        self._file = -1
