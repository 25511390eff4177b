"""Revocations: taken from workers, kept on disk, told to every worker, and shared with other hosts through the store.

    worker → spool (disk, acknowledged) → this process's list → every worker, each second
                  └→ store ←→ other hosts' recorders

The spool holds all of them, those of other hosts too, so that a restart while the store is away forgets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from vestibule.core.errors import VestibuleError
from vestibule.core.revocations import LIMIT, Revocation
from vestibule.recorder.spool import Spool
from vestibule.store import Store

PAGE = 20_000
"""Revocations in one answer to a worker."""
KEEP = 401 * 86_400
"""Seconds that a revocation is kept on disk: longer than the longest life of what it revokes."""
MAX_ON_DISK = 1_000_000
_MAX_MARKS = 64
_OVERLAP = 60_000
"""Milliseconds of the store's list that are read once more, for what another replica was late to tell."""

Answer = TypeVar("Answer")
Given = ParamSpec("Given")


class RevocationError(VestibuleError):
    """A revocation that is none; its sender's fault."""


class Log:
    """The list that workers follow, in the order of arrival: they ask for what came ``after`` their last page.

    epoch: names this list; a new one is taken over from its beginning. Beyond ``limit`` the list begins anew with the
    newest three quarters, and the floor rises to what went (see ``core.revocations``).
    """

    def __init__(self, epoch: Callable[[], str], limit: int = LIMIT) -> None:
        self._make_epoch = epoch
        self._limit = limit
        self._rows: list[Revocation] = []
        self._epoch = epoch()
        self._floor = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[Revocation], *, floor: int = 0, over: int = 0) -> None:
        """over: milliseconds since the epoch; what was signed in until then has ended by itself."""
        if floor > self._floor:
            self._floor, self._epoch = floor, self._make_epoch()
        self._rows.extend(rows)
        if len(self._rows) > self._limit:
            times: dict[str, int] = {}
            for mark, time in self._rows:
                times[mark] = max(time, times.get(mark, 0))
            newest = sorted((Revocation(*item) for item in times.items() if item[1] > over), key=lambda row: row.time)
            gone = newest[: max(len(newest) - self._limit * 3 // 4, 0)]
            self._floor = max(self._floor, gone[-1].time if gone else 0)
            self._rows = newest[len(gone) :]
            self._epoch = self._make_epoch()

    def page(self, epoch: str, after: int) -> dict[str, Any]:
        """What came after the first ``after`` rows of this list, or of another one from its beginning on."""
        begin = after if epoch == self._epoch and 0 <= after <= len(self._rows) else 0
        rows = self._rows[begin : begin + PAGE]
        end = begin + len(rows)
        return {
            "epoch": self._epoch,
            "floor": self._floor,
            "rows": rows,
            "next": end,
            "more": end < len(self._rows),
        }


class _Spooled(Protocol):
    async def do(
        self, action: Callable[Concatenate[Spool, Given], Answer], *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer: ...


class _Stored(Protocol):
    async def do(
        self, action: Callable[Concatenate[Store, Given], Answer], *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer: ...


class Revoking:
    """One site's revocations.

    shared: other hosts write to the same store, so that it is asked again and again. keep_for: seconds that a sign-in
    is kept today.
    """

    def __init__(
        self,
        site: str,
        spool: _Spooled,
        store: _Stored,
        epoch: Callable[[], str],
        clock: Callable[[], float],
        *,
        shared: bool,
        keep_for: Callable[[], int],
    ) -> None:
        self._site, self._spool, self._store = site, spool, store
        self._clock, self._shared, self._keep_for = clock, shared, keep_for
        self._log = Log(epoch)
        self._since = 0
        self._trimmed = 0.0

    async def open(self) -> None:
        """Read what is on disk. Raises SpoolError."""
        floor, rows = await self._spool.do(Spool.revocations, self._over(), LIMIT)
        self._log.add(rows, floor=floor)

    async def take(self, record: Mapping[str, Any]) -> None:
        """Revoke; returns once it is on disk. Raises SpoolError, RevocationError."""
        rows = _read(record)
        await self._spool.do(Spool.add_revocations, rows)
        self._log.add(rows, over=self._over())

    def page(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Log.page``."""
        after = given.get("after")
        return self._log.page(str(given.get("epoch") or ""), after if isinstance(after, int) else 0)

    async def tend(self) -> None:
        """Send what the store has not got, and take over what others wrote. Raises StoreError, SpoolError."""
        while rows := await self._spool.do(Spool.unsent_revocations, PAGE):
            await self._store.do(Store.insert_revocations, self._site, rows)
            await self._spool.do(Spool.revocations_sent, rows)
        if not self._since or self._shared:
            await self._learn()
        if self._clock() - self._trimmed >= 3600:
            self._trimmed = self._clock()
            await self._spool.do(Spool.trim_revocations, _milliseconds(self._clock() - KEEP), MAX_ON_DISK)

    async def _learn(self) -> None:
        rows, now = await self._store.do(Store.revocations, self._site, max(self._since - _OVERLAP, 0))
        fresh = await self._spool.do(Spool.add_revocations, rows, sent=True)
        self._log.add(fresh, over=self._over())
        self._since = now

    def _over(self) -> int:
        return _milliseconds(self._clock() - self._keep_for())


def is_revocation(record: Mapping[str, Any]) -> bool:
    """Whether what a worker wants kept is a revocation, not a consent record."""
    return "revoke" in record


def _read(record: Mapping[str, Any]) -> list[Revocation]:
    marks, time = record.get("revoke"), record.get("time")
    if (
        not isinstance(marks, list | tuple)
        or not isinstance(time, int)
        or not 0 <= time < 1 << 53
        or not 0 < len(marks) <= _MAX_MARKS
        or not all(isinstance(mark, str) and len(mark) == 32 and mark.isalnum() and mark.isascii() for mark in marks)
    ):
        raise RevocationError("a revocation has marks and a time")
    return [Revocation(mark, time) for mark in marks]


def _milliseconds(seconds: float) -> int:
    return max(round(seconds * 1000), 0)
