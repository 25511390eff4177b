"""What a worker has handed over and the recorder has not on its disk yet."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

MOST_UNKEPT = 8 << 20
"""Bytes of messages that a worker holds until they are on the recorder's disk: some 16,000 hits."""


class Delivery(NamedTuple):
    """Which message it is: the sender's random name, and a number that grows with each message. last: its sender ends
    once all are kept."""

    sender: str
    number: int
    last: bool = False


class Unkept:
    """Messages by number, the oldest first. Beyond ``limit`` bytes the oldest are forgotten: a recorder that cannot
    write has them in memory. Numbers only grow."""

    def __init__(self, limit: int = MOST_UNKEPT) -> None:
        self._limit = limit
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, number: int) -> bool:
        return number in self._frames

    @property
    def full(self) -> bool:
        """Whether so much is held that it is time to wait: more than half of the limit, for what comes next takes room
        too."""
        return self._bytes > self._limit // 2

    def add(self, number: int, frame: bytes) -> None:
        """Take a message along that is about to be handed over."""
        self._frames[number] = frame
        self._bytes += len(frame)
        while self._bytes > self._limit and len(self._frames) > 1:
            self._bytes -= len(self._frames.popitem(last=False)[1])

    def kept(self, number: int) -> None:
        """Forget a message and all before it: they are on the recorder's disk."""
        while self._frames and next(iter(self._frames)) <= number:
            self._bytes -= len(self._frames.popitem(last=False)[1])

    def frames(self) -> list[tuple[int, bytes]]:
        """All there are, in the order in which they were handed over."""
        return list(self._frames.items())
