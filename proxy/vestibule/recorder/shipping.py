"""What waits in the spool, on its way to the store: one batch after the other, each of them once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date

from vestibule.core.cells import Partial
from vestibule.core.errors import UnstorableError
from vestibule.core.hits import storable
from vestibule.recorder.keyring import Keyring, iso
from vestibule.recorder.pipeline import day_of
from vestibule.recorder.plan import Plan
from vestibule.recorder.salting import Salting
from vestibule.recorder.spool import Batch, Spool
from vestibule.recorder.spooling import SpoolThread
from vestibule.recorder.storing import StoreThread
from vestibule.store import Store

log = logging.getLogger("vestibule.recorder")


class Shipping:
    """consents: the spool's connection for consent records. clock: seconds since the epoch."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        keyring: Keyring,
        salting: Salting,
        spool: SpoolThread,
        consents: SpoolThread,
        store: StoreThread,
        clock: Callable[[], float],
    ) -> None:
        self._plan, self._keyring, self._salting = plan, keyring, salting
        self._spool, self._consents, self._store = spool, consents, store
        self._clock = clock
        self._shipping = asyncio.Lock()
        self._behind: float | None = clock()
        self.changed: set[date] = set()
        """The days to which something was added since they were released."""
        self.refused = 0
        """Cells that came for days that were closed already."""
        self.sent: Counter[date] = Counter()
        """What the cells that were sent count, all together, by open day, since the start."""

    def wrote(self) -> None:
        """Take notice that something in the spool waits."""
        if self._behind is None:
            self._behind = self._clock()

    @property
    def age(self) -> int:
        """Since when something waits, in seconds; 0 where nothing does."""
        return 0 if self._behind is None else max(int(self._clock() - self._behind), 0)

    async def ship(self) -> None:
        """Send everything that waits to the store. Raises StoreError."""
        async with self._shipping:
            await self._salting.confirm()
            while batch := await self._spool.do(Spool.freeze):
                await self._send(batch)
            self._behind = None
            while frozen := await self._consents.do(Spool.freeze_consents):
                token, records = frozen
                await self._store.do(Store.insert_consent, token, records)
                await self._consents.do(Spool.consents_sent, token)

    async def _send(self, batch: Batch) -> None:
        await self._salting.learn_closed()
        partial = self._open_part(batch.partial)
        try:
            await self._store.do(Store.insert_cells, batch.id, partial)
            await self._store.do(Store.insert_totals, batch.id, partial.totals.items())
        except UnstorableError as error:
            # Nothing will change that, and all that was counted since would wait behind it for ever.
            log.error("%s; %d cells are given up", error, len(partial))
            await self._spool.do(_give_up, batch.id, len(partial))
            return
        await self._spool.do(Spool.sent, batch.id)
        for (site, day), count in partial.counted().items():
            if site == self._plan().site:
                self.sent[date.fromisoformat(day)] += count
                self.changed.add(date.fromisoformat(day))

    def _open_part(self, partial: Partial) -> Partial:
        """Leave out the days that are closed."""
        closed = self._keyring.closed
        if not partial.days & closed:
            return partial
        left = partial.only(partial.days - closed)
        self.refused += len(partial) - len(left)
        zone = self._plan().settings.timezone
        totals = {
            total: count
            for total, count in partial.totals.items()
            if not storable(total.minute) or iso(total.site, day_of(total.minute, zone)) not in closed
        }
        return replace(left, totals=totals)


def _give_up(spool: Spool, batch: str, cells: int) -> None:
    spool.shed += cells
    spool.sent(batch)
