"""A pure function that remembers its answers, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """Calls ``function`` once for each key. At ``limit`` keys it forgets them all, which costs less than choosing."""

    __slots__ = ("_function", "_known", "_limit")

    def __init__(self, function: Callable[[Key], Value], limit: int) -> None:
        self._function = function
        self._limit = limit
        self._known: dict[Key, Value] = {}

    def __call__(self, key: Key) -> Value:
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= self._limit:
            self._known.clear()
        value = self._known[key] = self._function(key)
        return value

    def __len__(self) -> int:
        return len(self._known)
