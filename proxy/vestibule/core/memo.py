"""A pure function that remembers its answers, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(dict[Key, Value]):
    """Calls ``function`` once for each key. At ``limit`` keys it forgets them all, which costs less than choosing.

    (A dictionary itself, so that an answer that is known is found without any Python being run: some are asked for a
    dozen times a page view.)
    """

    __slots__ = ("_function", "_limit")

    def __init__(self, function: Callable[[Key], Value], limit: int) -> None:
        super().__init__()
        self._function = function
        self._limit = limit

    __call__ = dict.__getitem__

    def __missing__(self, key: Key) -> Value:
        value = self._function(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value


class Recent(Generic[Key, Value]):
    """What was worked out for requests of late. Times are given, in seconds of any clock that goes on evenly.

    Keys may be what visitors sent: so everything is forgotten after ``age`` seconds, even if it was asked for just now,
    and at ``limit`` keys.
    """

    __slots__ = ("_age", "_begun", "_known", "_limit")

    def __init__(self, limit: int, age: float) -> None:
        self._limit = limit
        self._age = age
        self._begun = 0.0
        self._known: dict[Key, Value] = {}

    def get(self, key: Key, now: float) -> Value | None:
        if not 0 <= now - self._begun <= self._age:  # a clock that was set back begins anew, too
            self._known.clear()
            self._begun = now
        return self._known.get(key)

    def put(self, key: Key, value: Value) -> None:
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key] = value

    def __len__(self) -> int:
        return len(self._known)
