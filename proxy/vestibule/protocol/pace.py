"""How long a slow client is borne with."""

from __future__ import annotations


class Pace:
    """Seconds that a client has left: they pass while it is waited for, and each byte that it moves adds to them.

    patience: seconds at the beginning and at most. A client that moves nothing is cut off after that time, one that is
    slower than ``rate`` (bytes a second) when it has used up what it was faster before. rate 0: any byte restores all.
    """

    __slots__ = ("_left",)

    def __init__(self, patience: float) -> None:
        self._left = patience

    def spent(self, seconds: float, moved: int, *, patience: float, rate: float) -> bool:
        """Count ``seconds`` of waiting in which ``moved`` bytes were moved; whether the client has none left."""
        gained = (moved / rate if rate else patience) if moved else 0.0
        self._left = min(patience, self._left + gained - seconds)
        return self._left < 0
