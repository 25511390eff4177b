"""A pure function that remembers its answers, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

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


class Alike(Generic[Key, Value]):
    """A pure function of a tuple, and of one thing more, that remembers its answers by which tuple it is: to hash the
    fields of a message takes longer than most of what is asked of them. What is no tuple, or holds what can change, is
    asked of anew.

    A tuple that is remembered is held, so that no other one takes its place. At ``limit`` all are forgotten.
    """

    __slots__ = ("_function", "_known", "_limit")

    def __init__(self, function: Callable[[Iterable[Any], Key], Value], limit: int) -> None:
        self._function = function
        self._limit = limit
        self._known: dict[tuple[int, Key], tuple[object, Value]] = {}

    def __call__(self, fields: Iterable[Any], key: Key) -> Value:
        found = self._known.get((id(fields), key))
        if found is not None:
            return found[1]
        value = self._function(fields, key)
        if type(fields) is tuple and _is_fixed(fields):
            if len(self._known) >= self._limit:
                self._known.clear()
            self._known[(id(fields), key)] = fields, value
        return value


def _is_fixed(fields: tuple[object, ...]) -> bool:
    try:
        hash(fields)
    except TypeError:
        return False
    return True


class Same(Generic[Value]):
    """What was worked out of late for a tuple and whom it came from, found as by ``Alike``. Bounds and time are as of
    ``Recent``."""

    __slots__ = ("_age", "_begun", "_end", "_known", "_limit")

    def __init__(self, limit: int, age: float) -> None:
        self._limit = limit
        self._age = age
        self._begun, self._end = 0.0, age
        self._known: dict[tuple[int, Hashable], tuple[object, Value]] = {}

    def get(self, fields: object, whose: Hashable, now: float) -> Value | None:
        if not self._begun <= now <= self._end:
            self._known.clear()
            self._begun, self._end = now, now + self._age
        found = self._known.get((id(fields), whose))
        return None if found is None else found[1]

    def put(self, fields: tuple[object, ...], whose: Hashable, value: Value) -> None:
        """fields: with nothing in it that can be changed."""
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[(id(fields), whose)] = fields, value


class Recent(Generic[Key, Value]):
    """What was worked out for requests of late. Times are given, in seconds of any clock that goes on evenly.

    Keys may be what visitors sent: so everything is forgotten after ``age`` seconds, even if it was asked for just now,
    and at ``limit`` keys.
    """

    __slots__ = ("_age", "_begun", "_end", "_known", "_limit")

    def __init__(self, limit: int, age: float) -> None:
        self._limit = limit
        self._age = age
        self._begun, self._end = 0.0, age
        self._known: dict[Key, Value] = {}

    def get(self, key: Key, now: float) -> Value | None:
        if not self._begun <= now <= self._end:  # a clock that was set back begins anew, too
            self._known.clear()
            self._begun, self._end = now, now + self._age
        return self._known.get(key)

    def put(self, key: Key, value: Value) -> None:
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key] = value

    def __len__(self) -> int:
        return len(self._known)
