"""What is read into: a few large buffers that pass from the reader to whoever writes on, without being copied.

A body of megabytes is copied by the kernel twice as it is; once more would cost as much again. So what was read is lent
as a view, and the buffer is used again when nobody holds that any more. Where all are lent, the next piece is copied
and the reader keeps its buffer: memory stays bounded, and slow readers are slowed by their own connection's limit.
"""

from __future__ import annotations

import sys

SIZE = 262144
"""Bytes of a buffer, and the most that is read at once."""

MOST = 64
"""Buffers of a pool; they are made as they are needed, and let go when they were not for a while."""

WORTH = 16384
"""Bytes from which lending is cheaper than a copy."""


class Buffers:
    """See the module. ``current``: where the next read goes. views: whether pieces may be lent; else all are copied."""

    __slots__ = ("_all", "_free", "_needed", "_views", "current")

    def __init__(self, *, views: bool) -> None:
        self._views = views
        self._all = [bytearray(SIZE)]
        buffer = self._all[0]
        self._free = self._holders(buffer)
        self.current = memoryview(self._all[0])
        self._needed = 1

    def taken(self, size: int, begin: int = 0) -> bytes | memoryview:
        """Of the first ``size`` bytes of what was read into ``current`` those from ``begin`` on; ``current`` may be
        another one from now on."""
        view = self.current[begin:size]
        if self._views and len(view) >= WORTH:
            spare = self._spare()
            if spare is not None:
                self.current = memoryview(spare)
                return view
        return bytes(view)

    def _spare(self) -> bytearray | None:
        """A buffer that nobody holds: the first one, so that few are used, which stay in the processor's cache."""
        number = 0
        for buffer in self._all:  # no `enumerate`: it would hold the buffer, too
            number += 1  # noqa: SIM113
            if self._holders(buffer) == self._free:
                self._needed = max(self._needed, number)
                return buffer
        if len(self._all) >= MOST:
            return None
        self._all.append(bytearray(SIZE))
        self._needed = len(self._all)
        return self._all[-1]

    def trim(self) -> None:
        """Let go of buffers that were not needed since the last time; those that somebody holds go when they let go of
        them."""
        held = next((number for number, buffer in enumerate(self._all, 1) if buffer is self.current.obj), 1)
        del self._all[max(self._needed, held) :]
        self._needed = 1

    @staticmethod
    def _holders(buffer: bytearray) -> int:
        """How many hold a buffer, besides its place in the list; each view of it does."""
        return sys.getrefcount(buffer)
