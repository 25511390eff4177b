"""Sees to it that the days' keys are there before hits are, and that all recorders have the same ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import date

from vestibule.core.errors import StoreError
from vestibule.core.hits import storable
from vestibule.recorder.keyring import Keyring, iso, new_salt
from vestibule.recorder.pipeline import day_of
from vestibule.recorder.plan import Plan
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread
from vestibule.recorder.storing import StoreThread
from vestibule.store import DayClosedError, Store

_TIMEOUT = 5.0
"""Seconds that the store has to tell a day's salt; hits wait for it."""
_AHEAD = 2 * 3600


class Salting:
    """A site's keys: of the store's salts where it answers, else of ours, which it gets later."""

    def __init__(self, plan: Callable[[], Plan], keyring: Keyring, spool: SpoolThread, store: StoreThread) -> None:
        self._plan, self._keyring, self._spool, self._store = plan, keyring, spool, store
        self._salting = asyncio.Lock()

    async def prepare(self, now: float) -> None:
        """See to the keys of today, and of tomorrow where that is near; to none where the clock is not set."""
        zone = self._plan().settings.timezone
        for day in {day_of(time, zone) for time in (now, now + _AHEAD) if storable(time)}:
            await self.ensure(day)

    async def ensure(self, day: date) -> None:
        """See to it that the keys of a day are known, unless it is closed."""
        key = iso(self._plan().site, day)
        if self._keyring.knows(key):
            return
        async with self._salting:
            if not self._keyring.knows(key):
                candidate = await self._spool.do(Spool.salt, *key) or new_salt()
                await self._agree(day, candidate)

    async def confirm(self) -> None:
        """Tell the store of the salts that it has not seen yet."""
        for site, day in self._keyring.unconfirmed:
            candidate = await self._spool.do(Spool.salt, site, day)
            if candidate is not None:
                await self._agree(date.fromisoformat(day), candidate)

    async def learn_closed(self) -> None:
        """Forget the keys of the days that somebody closed. Raises StoreError."""
        for site, day in await self._store.do(Store.closed):
            self._keyring.close(iso(site, day))

    async def forget_closed(self) -> None:
        """Take the salts of closed days off the disk. Raises StoreError, SpoolError."""
        await self.learn_closed()
        for key in await self._spool.do(Spool.salts):
            if key in self._keyring.closed:
                await self._spool.do(Spool.forget_salt, *key)

    async def _agree(self, day: date, candidate: bytes) -> None:
        """Use the store's salt for a day; where the store is away, the candidate."""
        site = self._plan().site
        key = iso(site, day)
        confirmed = True
        try:
            async with asyncio.timeout(_TIMEOUT):
                salt = await self._store.do(Store.salt, site, day, candidate)
        except DayClosedError:
            self._keyring.close(key)
            return
        except (StoreError, TimeoutError):
            salt, confirmed = candidate, False
        with contextlib.suppress(SpoolError):
            await self._spool.do(Spool.keep_salt, *key, salt)
        self._keyring.use(key, salt, confirmed=confirmed)
