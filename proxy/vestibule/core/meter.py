"""How many requests there were, what came of them and how long they took: numbers, and nothing of whose they were.

Each process that answers has a meter, and tells the recorder what has been added to it; the recorder adds these up in
one of its own. Labels are few and fixed, so that a meter never grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

KINDS = ("page", "asset", "api", "privacy", "websocket", "other")
"""What was asked for. privacy: what Vestibule answers itself (its pages, what it answers in place of a service).
websocket: its handshake. other: an answer that does not say what it is."""

PAGE, ASSET, API, PRIVACY, WEBSOCKET, OTHER = range(len(KINDS))

CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""What came of it, by the status. none: whoever asked had left."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; each bound belongs to the slot below it, and there is one slot more for what took longer than all."""

_CLASSES = len(CLASSES)
_SLOTS = len(BOUNDS) + 1
_DATA = ("json", "xml", "event-stream", "protobuf", "grpc", "msgpack", "form", "ndjson", "graphql", "cbor")


@lru_cache(maxsize=256)
def kind_of(content_type: str) -> int:
    """The kind that a ``Content-Type`` speaks for."""
    essence = content_type.partition(";")[0].strip().lower()
    if essence in ("text/html", "application/xhtml+xml"):
        return PAGE
    if not essence:
        return OTHER
    if essence.startswith(("image/", "font/", "audio/", "video/")):
        return ASSET
    return API if any(word in essence for word in _DATA) else ASSET


class Meter:
    """Counts what was answered. One thread only."""

    __slots__ = ("_requests", "_rewritten", "_seconds", "_slots")

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._requests = [0] * (len(KINDS) * _CLASSES)
        self._slots = [0] * (len(KINDS) * _SLOTS)
        self._seconds = [0.0] * len(KINDS)
        self._rewritten = 0

    def answered(self, kind: int, status: int, seconds: float, rewritten: int = 0) -> None:
        """Count a request. kind: an index of ``KINDS``. status: 0 where there was no answer. rewritten: bytes of body,
        as they were sent."""
        self._requests[kind * _CLASSES + (status // 100 if 0 <= status < 600 else 5)] += 1
        self._slots[kind * _SLOTS + bisect_left(BOUNDS, seconds)] += 1
        self._seconds[kind] += seconds
        self._rewritten += rewritten

    @property
    def counted(self) -> bool:
        """Whether there is something that ``take`` has not told yet."""
        return any(self._requests)

    def take(self) -> dict[str, Any]:
        """Return all that was counted since the last time, as ``add`` takes it and JSON can carry it."""
        taken = {
            "requests": self._requests,
            "slots": self._slots,
            "seconds": self._seconds,
            "rewritten": self._rewritten,
        }
        self._clear()
        return taken

    def add(self, taken: Mapping[str, Any]) -> None:
        """Add what another meter told. One of another version counts otherwise: what it tells is left out."""
        requests, slots = taken.get("requests"), taken.get("slots")
        seconds, rewritten = taken.get("seconds"), taken.get("rewritten")
        ours = (self._requests, requests), (self._slots, slots), (self._seconds, seconds)
        if not all(_alike(mine, theirs) for mine, theirs in ours) or not _alike([0], [rewritten]):
            return
        for mine, theirs in ours:
            assert isinstance(theirs, list)
            for index, number in enumerate(theirs):
                mine[index] += number
        assert isinstance(rewritten, int)
        self._rewritten += rewritten

    def figures(self) -> dict[str, Any]:
        """Return the sums by name: ``requests`` by kind and class; by kind ``seconds``, all together, and in ``slots``
        how many requests took at most so long as each of ``BOUNDS``, or longer, each in one slot only; ``rewritten``
        bytes."""
        return {
            "requests": {
                kind: dict(zip(CLASSES, self._requests[index * _CLASSES :], strict=False))
                for index, kind in enumerate(KINDS)
            },
            "seconds": {kind: round(self._seconds[index], 6) for index, kind in enumerate(KINDS)},
            "slots": {kind: self._slots[index * _SLOTS : (index + 1) * _SLOTS] for index, kind in enumerate(KINDS)},
            "rewritten": self._rewritten,
        }


def _alike(mine: Sequence[float], theirs: object) -> bool:
    """Whether these are as many numbers of the same type, none below zero."""
    return (
        isinstance(theirs, list)
        and len(theirs) == len(mine)
        and all(type(given) is type(own) and 0 <= given < float("inf") for own, given in zip(mine, theirs, strict=True))
    )
