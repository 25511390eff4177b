"""What is revoked: keyed hashes and times, a bounded number of them.

At the bound the oldest go, and the time of the newest that went becomes the floor: whoever signed in until then has to
sign in again, revoked or not. So nothing that was revoked comes back by there being too much of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

LIMIT = 200_000


class Revocation(NamedTuple):
    """mark: 32 hex digits, see ``Keeper.marks``. time: milliseconds since the epoch; what was signed in until then is
    over."""

    mark: str
    time: int


class Alone:
    """What one process has revoked that has no recorder to share it with; it ends with the process."""

    fresh = True

    def __init__(self) -> None:
        self._own = Revocations()

    def cover(self, marks: Sequence[str], signed_in: int) -> bool:
        return self._own.cover(marks, signed_in)

    def add(self, marks: Sequence[str], when: int) -> None:
        self._own.add(Revocation(mark, when) for mark in marks)


class Revocations:
    """Answers whether something is revoked. limit: revocations that it holds."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._times: dict[str, int] = {}
        self.floor = 0
        """Milliseconds since the epoch: whatever was signed in until then is over."""

    def __len__(self) -> int:
        return len(self._times)

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Take these in. Beyond the limit a quarter is forgotten, the oldest, and `floor` rises to the last of them: so
        more is revoked than was, never less."""
        for mark, time in revocations:
            self._times[mark] = max(time, self._times.get(mark, 0))
        if len(self._times) > self._limit:
            newest = sorted(self._times.items(), key=lambda item: item[1])
            gone = newest[: len(newest) - self._limit * 3 // 4]
            self.raise_floor(gone[-1][1])
            self._times = dict(newest[len(gone) :])

    def leave_to(self, other: Revocations) -> None:
        """Forget what another list covers as well."""
        self._times = {mark: time for mark, time in self._times.items() if other._times.get(mark, -1) < time}

    def raise_floor(self, time: int) -> None:
        """Revoke whatever was signed in until then (milliseconds since the epoch)."""
        self.floor = max(self.floor, time)

    def cover(self, marks: Iterable[str], signed_in: int) -> bool:
        """Whether what was signed in then (milliseconds since the epoch), and is known by any of ``marks``, is over."""
        if signed_in <= self.floor:
            return True
        times = self._times
        return any(signed_in <= times.get(mark, -1) for mark in marks)
