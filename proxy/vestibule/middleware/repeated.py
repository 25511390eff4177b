"""Pages that the site sent before, byte for byte, and what became of them.

Most pages are the same for everybody who has made the same choice. What the rewriter made of such a page is kept for
moments, in memory, in bounds of size and time, and no longer than the configuration that it follows from. The site is
asked for every page; only where each byte of its answer is the same as before goes out what went out before, so nothing
can reach anyone that the site did not send them. A page is kept when it comes for the second time: one that is made for
one visitor alone does not come twice as a rule.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from weakref import WeakSet

from vestibule.middleware.bodies import Body

MAX_PAGE = 262_144
"""Bytes of a page, as the site sent it, up to which it is kept."""

MAX_BYTES = 8_388_608
"""Bytes of all that is kept; beyond, it begins anew."""

MAX_ONCE = 4096
"""Pages of which it is known that they came."""

MAX_TARGET = 512
"""Characters of an address, path and query, up to which its page is taken note of."""

MAX_OUT = 4 * MAX_PAGE
MAX_STEPS = 256
"""Bytes of what became of a page, and pieces in which it came, up to which it is kept."""

MAX_LEARNING = 16
"""Pages at a time that are copied while they pass."""

AGE = 60
"""Seconds until everything is forgotten."""

Blocked = tuple[str, str, str]
"""Service, purpose, reason."""


@dataclass(frozen=True, slots=True)
class Read:
    """A page and what became of it. steps: after how many bytes of it how many bytes of that had been written, in
    order. label: see ``Body``. blocked: what was held back in it."""

    body: bytes
    out: bytes
    steps: tuple[tuple[int, int], ...]
    label: str | None
    blocked: tuple[Blocked, ...]


class Pages:
    """See the module. Keys tell apart all that a page depends on besides its bytes. Times are seconds of any clock."""

    def __init__(self) -> None:
        self._read: dict[Hashable, Read] = {}
        self._once: dict[Hashable, int] = {}
        self._size = 0
        self._begun = 0
        self.learning: WeakSet[Repeated] = WeakSet()

    def of(self, key: Hashable, now: int) -> Read | None:
        """What is known of a page."""
        if not 0 <= now - self._begun <= AGE:
            self._read.clear()
            self._once.clear()
            self._size, self._begun = 0, now
        return self._read.get(key)

    def came_once(self, key: Hashable) -> bool:
        """Whether it was seen before, so that it is worth copying."""
        return key in self._once

    def note(self, key: Hashable, checksum: int) -> bool:
        """Take note that a page passed; whether it did so before, as far as a checksum can tell."""
        if len(self._once) >= MAX_ONCE:
            self._once.clear()
        before = self._once.get(key)
        self._once[key] = checksum
        return before == checksum

    def keep(self, key: Hashable, read: Read) -> None:
        """Keep a page for those who come next."""
        size = len(read.body) + len(read.out)
        if size > MAX_BYTES:
            return
        before = self._read.pop(key, None)
        self._size += size - (len(before.body) + len(before.out) if before is not None else 0)
        if self._size > MAX_BYTES:
            self._read.clear()
            self._size = size
        self._read[key] = read


class Repeated:
    """The body of a page that may have come before: as long as it is the same, nothing needs to be read in it.

    make: begins to read it. blocked: tells what was held back by that. The pieces that come need not be those of the
    first time: what is certain goes out at once, as it did then.
    """

    def __init__(
        self,
        pages: Pages,
        key: Hashable,
        now: int,
        make: Callable[[], Body],
        blocked: Callable[[], Iterable[Blocked]],
    ) -> None:
        self._pages = pages
        self._key = key
        self._make = make
        self._blocked = blocked
        self._known = pages.of(key, now)
        self._page: Body | None = None
        self._size = 0
        self._sent = 0
        self._step = 0
        self._checksum = 0
        self._body: list[bytes] = []
        self._out: list[bytes] = []
        self._steps: list[tuple[int, int]] = []
        self._copied = False
        if self._known is None:
            self._begin()

    @property
    def label(self) -> str | None:
        if self._page is not None:
            return self._page.label
        return self._known.label if self._known is not None else None

    @property
    def blocked(self) -> Iterable[Blocked]:
        """What was held back when this page was read."""
        return self._known.blocked if self._known is not None else ()

    def feed(self, data: bytes) -> bytes:
        if self._known is None:
            return self._read(data)
        if not self._known.body.startswith(data, self._size):
            return self._part() + self._read(data)
        self._size += len(data)
        return self._follow(self._known)

    def close(self) -> bytes:
        known = self._known
        if known is not None and self._size == len(known.body):
            return known.out[self._sent :]
        before = b"" if known is None else self._part()
        assert self._page is not None
        out = self._page.close()
        self._pages.learning.discard(self)
        if self._size <= MAX_PAGE and self._pages.note(self._key, self._checksum) and self._copied:
            self._out.append(out)
            read = (b"".join(self._body), b"".join(self._out), tuple(self._steps), self._page.label)
            self._pages.keep(self._key, Read(*read, tuple(self._blocked())))
        return before + out

    def _begin(self) -> None:
        self._page = self._make()
        if self._pages.came_once(self._key) and len(self._pages.learning) < MAX_LEARNING:
            self._copied = True
            self._pages.learning.add(self)

    def _follow(self, known: Read) -> bytes:
        steps = known.steps
        while self._step < len(steps) and steps[self._step][0] <= self._size:
            self._step += 1
        until = steps[self._step - 1][1] if self._step else 0
        out = known.out[self._sent : until]
        self._sent = until
        return out

    def _part(self) -> bytes:
        """It turns out to be another page: read what came of it by the same pieces, so that the same comes out as far
        as it is out already; returns the rest."""
        known, self._known = self._known, None
        assert known is not None
        body, self._size = known.body[: self._size], 0
        self._begin()
        out, begin = [], 0
        for end, _ in known.steps[: self._step]:
            out.append(self._read(body[begin:end]))
            begin = end
        out.append(self._read(body[begin:]))
        return b"".join(out)[self._sent :]

    def _read(self, data: bytes) -> bytes:
        assert self._page is not None
        out = self._page.feed(data)
        self._size += len(data)
        if self._size > MAX_PAGE:
            self._forget()
        else:
            self._checksum = zlib.crc32(data, self._checksum)
        if self._copied:
            self._body.append(data)
            self._out.append(out)
            done = self._steps[-1][1] if self._steps else 0
            self._steps.append((self._size, done + len(out)))
            if len(self._steps) > MAX_STEPS or done + len(out) > MAX_OUT:
                self._forget()
        return out

    def _forget(self) -> None:
        self._copied = False
        self._body, self._out, self._steps = [], [], []
        self._pages.learning.discard(self)
