"""Copies a page while something reads it: the bytes that are held, and those that leave.

Bounded: what is held for want of more is at most a piece of the page and `LIMIT` bytes.
"""

from __future__ import annotations

import re

LIMIT = 65536
"""Most bytes of one tag, or of an inline script, that are held until they are whole."""


class Copier:
    """Takes a page in pieces of any size, and hands out what was read; `_run` is the reader's."""

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._copied = 0
        self._out: list[bytes] = []
        self._started = False
        self._final = False
        self._sealed = False
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._wait_for: re.Pattern[bytes] | None = None
        self._resume = (0, 0)
        self._resume_next = (0, 0)
        self._unfinished = self._unfinished_next = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what can be said so far."""
        if self._wait_for is not None and self._waiting_size + len(data) <= LIMIT and not self._wait_for.search(data):
            self._waiting.append(data)
            self._waiting_size += len(data)
            return b""
        return self._work(data)

    def close(self) -> bytes:
        """The page is over: return the rest of it."""
        self._final = True
        done = self._work(b"")
        rest, self._buffer = self._buffer, b""
        return done + (self._seal(rest) if self._sealed else self._last() + rest)

    # What the reader adds

    def _run(self) -> None:
        """Read on from ``_position`` as far as that can be done."""

    def _last(self) -> bytes:
        """What is to be put in before the rest, when the page is over."""
        return b""

    def _seal(self, rest: bytes) -> bytes:
        """What is put in place of the rest, when the page is over and what follows must be read as HTML."""
        return rest

    # Feeding

    def _take(self, data: bytes) -> None:
        if self._waiting:
            self._waiting.append(data)
            data = b"".join(self._waiting)
            self._waiting.clear()
        elif self._buffer:
            data = self._buffer + data
        self._wait_for = None
        self._buffer, self._position, self._copied = data, 0, 0

    def _work(self, data: bytes) -> bytes:
        self._take(data)
        if self._started or self._start():
            self._run()
        self._resume, self._resume_next = self._resume_next, (0, 0)
        self._unfinished, self._unfinished_next = self._unfinished_next, False
        out, self._out = self._out, []
        if self._copied < self._position:
            out.append(self._buffer[self._copied : self._position])
        self._buffer = self._buffer[self._position :]
        if self._wait_for is not None:
            self._waiting.append(self._buffer)
            self._waiting_size = len(self._buffer)
        return out[0] if len(out) == 1 else b"".join(out)

    def _start(self) -> bool:
        """A byte order mark stays first."""
        if self._buffer.startswith(b"\xef\xbb\xbf"):
            self._position = 3
        elif b"\xef\xbb\xbf".startswith(self._buffer) and not self._final:
            return False
        self._started = True
        return True

    def _emit(self, until: int, instead: bytes = b"", skip_to: int | None = None) -> None:
        """Copy the buffer up to ``until``, then put ``instead`` in place of what follows up to ``skip_to``."""
        if self._copied < until:
            self._out.append(self._buffer[self._copied : until])
        if instead:
            self._out.append(instead)
        self._copied = until if skip_to is None else skip_to

    def _resumed(self, start: int) -> tuple[int, int]:
        """How far something that was held was read already; what is held always stands first in the buffer."""
        return self._resume if start == 0 else (0, 0)
