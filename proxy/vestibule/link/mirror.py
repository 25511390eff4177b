"""What has been revoked, as a worker knows it: learnt from the recorder, again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from vestibule.core.errors import LinkError
from vestibule.core.revocations import Revocation, Revocations
from vestibule.link.asking import ASK_TIMEOUT, Asking

ASK_EVERY = 1.0
"""Seconds between two questions for what has been revoked."""
STALE = 4.0
"""Seconds after which what was known of revocations is too old to go by."""
_OWN = 10_000


class Mirror:
    """What has been revoked, as one worker knows it: what it revoked itself at once, the rest within seconds.

    While the recorder has not been heard for ``STALE`` seconds, anything may be revoked: ``fresh`` says so, and what
    depends on it stays closed.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._asking = Asking(path)
        self._clock = clock
        self._heard: float | None = None
        self._epoch, self._after = "", 0
        self._own = Revocations(_OWN)
        self._known = self._coming = Revocations()

    @property
    def fresh(self) -> bool:
        """Whether it is known what was revoked, as of ``STALE`` seconds ago."""
        return self._heard is not None and self._clock() - self._heard < STALE

    def cover(self, marks: Sequence[str], signed_in: int) -> bool:
        """Whether something is revoked, as far as is known; see ``Revocations.cover``."""
        return self._own.cover(marks, signed_in) or self._known.cover(marks, signed_in)

    def add(self, marks: Sequence[str], when: int) -> None:
        """Revoke here at once (milliseconds since the epoch); to make it last is the caller's."""
        self._own.add(Revocation(mark, when) for mark in marks)

    async def learn(self) -> None:
        """Ask the recorder, again and again, until cancelled."""
        try:
            while True:
                begun = self._clock()
                try:
                    while await self._ask():
                        pass
                except LinkError:
                    await asyncio.sleep(ASK_EVERY / 4)
                    continue
                self._heard = begun
                await asyncio.sleep(ASK_EVERY)
        finally:
            await self._asking.close()

    async def _ask(self) -> bool:
        """Take over one page of the list; return whether there is more."""
        given = {"epoch": self._epoch, "after": self._after}
        answer = await self._asking.ask({"call": "revocations", "with": given}, ASK_TIMEOUT)
        try:
            rows = [Revocation(str(mark), int(when)) for mark, when in answer["rows"]]
            epoch, after, floor, more = str(answer["epoch"]), int(answer["next"]), int(answer["floor"]), answer["more"]
        except (KeyError, TypeError, ValueError):
            raise LinkError("the recorder's list of revocations cannot be read") from None
        if epoch != self._epoch:
            # Another list: it holds all that the old one did, but for what is too old to matter. It takes its place
            # when it has come in full.
            self._epoch, self._coming = epoch, Revocations()
        self._coming.raise_floor(floor)
        self._coming.add(rows)
        self._after = after
        if more and rows:
            return True
        self._known = self._coming
        # What the recorder tells need not be held twice: this worker's own list is for what is not told yet.
        self._own.leave_to(self._known)
        return False
