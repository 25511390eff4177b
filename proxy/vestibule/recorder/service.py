"""The recorder: what keeps hits flowing into the store, whatever happens to either end.

    hits → pipeline (memory) → every second → spool (disk) → every ten seconds → store → every ``live_every`` → released

Each arrow has a loop of its own, and a loop that fails tries again. Days are closed two hours after they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from vestibule.core.cells import Accumulator, Partial, merge
from vestibule.core.errors import StoreError
from vestibule.core.visit import Hit, Lookups, Settings
from vestibule.recorder.keyring import Keyring, iso, new_salt
from vestibule.recorder.pipeline import Pipeline, day_of
from vestibule.recorder.spool import Batch, Spool, SpoolError
from vestibule.recorder.storing import StoreThread
from vestibule.store import DayClosedError, Store

log = logging.getLogger("vestibule.recorder")
Answer = TypeVar("Answer")
Given = ParamSpec("Given")

FLUSH_EVERY = 1.0
SHIP_EVERY = 10.0
GRACE = timedelta(hours=2)
"""A day is closed so long after its end: facts of its last visits and of recorders that lag come until then."""

_SALT_TIMEOUT = 5.0
_AHEAD = 2 * 3600
_IMPORT_PATIENCE = 600.0
_MAX_UNWRITTEN = 5_000_000
_MAX_BACK_OFF = 60.0
_MIDNIGHT = clock_time()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the recorder needs of the configuration.

    store: DSN. secret: the newest. keep_for, live_every: seconds. spool: bytes. timezone: IANA name; days begin there.
    """

    site: str
    store: str = field(repr=False)
    secret: str = field(repr=False)
    settings: Settings
    timezone: str = "UTC"
    k: int = 5
    live_every: int = 900
    keep_for: int = 65_000_000
    spool: int = 1 << 30


class Recorder:
    """One site's recorder. It runs in one event loop; ``clock`` gives seconds since the epoch."""

    def __init__(self, plan: Plan, state: Path, lookups: Lookups, *, clock: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._clock = clock
        self._keyring = Keyring(plan.secret)
        self._pipeline = Pipeline(plan.site, plan.settings, lookups, self._keyring.keys)
        self._import = Pipeline(plan.site, plan.settings, lookups, self._keyring.keys)
        self._imported: set[str] = set()
        self._import_seen = 0.0
        self._spool = _SpoolThread(state / "spool.sqlite", plan.spool)
        # Consent records have a connection of their own: who agreed waits for the disk, but never for a merge.
        self._consents = _SpoolThread(state / "spool.sqlite", plan.spool)
        self.store = StoreThread(plan.store, plan.keep_for)
        self._unwritten: Partial | None = None
        self._trouble = ""
        self._flushing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._changed: set[date] = set()
        self._salting = asyncio.Lock()
        self._shipping = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._released = 0.0
        self._resumed = False
        self.dropped = 0
        """Hits that workers dropped because they could not send them."""
        self.refused = 0
        """Cells that came for days that were closed already."""

    @property
    def plan(self) -> Plan:
        return self._plan

    def today(self) -> date:
        """The day it is where the site is."""
        return day_of(self._clock(), self._plan.settings.timezone)

    async def start(self) -> None:
        """Open the spool, and the store if it is there. Raises SpoolError."""
        await self._spool.open()
        await self._consents.open()
        await self._prepare()

    def run(self) -> None:
        """Start the loops."""
        for loop in (self._flush_loop, self._store_loop):
            self._tasks.append(asyncio.create_task(loop()))

    async def stop(self) -> None:
        """End all visits, write everything to disk, close. What the store has not got is sent after the next start."""
        self._stopping.set()
        flushing, tending = self._tasks or (None, None)
        if flushing is not None and tending is not None:
            tending.cancel()
            await asyncio.gather(flushing, tending, return_exceptions=True)
        for pipeline in (self._pipeline, self._import):
            pipeline.end_visits()
            await self._flush(pipeline.swap())
        await self.store.close()
        await self._spool.close()
        await self._consents.close()

    def reload(self, plan: Plan) -> None:
        """Take up another plan; what is bound to the store, the spool and the keys stays as it was."""
        old = self._plan
        self._plan = replace(
            plan, site=old.site, store=old.store, secret=old.secret, keep_for=old.keep_for, spool=old.spool
        )
        self._pipeline.settings = self._import.settings = plan.settings

    # - intake

    async def hits(self, hits: Sequence[Hit], dropped: int = 0) -> None:
        """Count what workers saw. dropped: what they could not send."""
        self.dropped += dropped
        await self._take(self._pipeline, hits)

    async def record(self, record: Mapping[str, Any]) -> None:
        """Take a consent record; returns once it is on disk. Raises SpoolError."""
        await self._consents.do(Spool.add_consent, record)

    async def import_hits(self, hits: Sequence[Hit]) -> None:
        """Count hits of the past, in the order of their times. What came is on disk a second later."""
        self._import_seen = self._clock()
        self._imported |= self._import.days(hits)
        await self._take(self._import, hits)
        if hits:
            self._import.end_visits(max(hit.time for hit in hits))

    async def finish_import(self) -> dict[str, Any]:
        """End an import: all it brought is stored and released, days that are over are closed. Raises StoreError."""
        self._import.end_visits()
        await self._flush(self._import.swap())
        await self.ship()
        self._imported.clear()
        closed = await self.close_days()
        await self.snapshot()
        figures = {"facts": dict(self._import.facts), "drops": dict(self._import.drops), "closed": closed}
        self._import.facts.clear()
        self._import.drops.clear()
        return figures

    # - what the loops do; also at a command's wish

    async def flush(self) -> None:
        """Write what has been counted to disk."""
        self._pipeline.end_visits(self._clock())
        for pipeline in (self._pipeline, self._import):
            await self._flush(pipeline.swap())

    async def ship(self) -> None:
        """Send everything that waits to the store. Raises StoreError."""
        async with self._shipping:
            await self._confirm_salts()
            while batch := await self._spool.do(Spool.freeze):
                await self._send(batch)
            while frozen := await self._consents.do(Spool.freeze_consents):
                token, records = frozen
                await self.store.do(Store.insert_consent, token, records)
                await self._consents.do(Spool.consents_sent, token)

    async def snapshot(self) -> None:
        """Release the open days anew in which something has changed. Raises StoreError."""
        for day in sorted(self._changed):
            await self.store.do(Store.release, self._plan.site, day, k=self._plan.k, owner=self._spool.owner)
            self._changed.discard(day)

    async def close_days(self, only: date | None = None) -> list[str]:
        """Close the days that are over; return those that were closed now. Raises StoreError.

        only: close this day, even within the time of grace. A day that an import is adding to stays open.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        closed = []
        for site, day in await self.store.do(Store.open_days):
            over = self._end(day) + (timedelta() if day == only else GRACE) <= now
            due = site == self._plan.site and over and only in (None, day) and not self._importing(day)
            if due and await self._close(day, now):
                closed.append(day.isoformat())
        return closed

    async def _close(self, day: date, now: datetime) -> bool:
        site, k, owner = self._plan.site, self._plan.k, self._spool.owner
        await self.flush()
        await self.ship()
        self._keyring.close(iso(site, day))
        closed = await self.store.do(Store.close_day, site, day, k=k, owner=owner, now=now)
        self._changed.discard(day)
        await self._spool.do(Spool.forget_salt, *iso(site, day))
        return closed

    async def figures(self) -> dict[str, Any]:
        """Numbers for health and metrics."""
        spool = await self._spool.do(_spool_figures)
        return {
            "store": self.store.trouble or "ok",
            "spool": {**spool, "limit": self._plan.spool, **({"error": self._trouble} if self._trouble else {})},
            "facts": dict(self._pipeline.facts),
            "drops": dict(self._pipeline.drops),
            "visits": self._pipeline.visits,
            "dropped": self.dropped,
            "refused": self.refused,
        }

    # - loops

    async def _flush_loop(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), FLUSH_EVERY)
            try:
                await self.flush()
            except Exception:
                log.exception("what was counted could not be written")

    async def _store_loop(self) -> None:
        failures = 0
        while True:
            interval = min(SHIP_EVERY, self._plan.live_every)
            if failures:
                interval = min(interval * 2**failures, _MAX_BACK_OFF)
            await asyncio.sleep(interval)
            try:
                await self._tend()
                if failures:
                    log.warning("the store answers again")
                failures = 0
            except (StoreError, SpoolError) as error:
                if not failures:
                    log.warning("%s; counting goes on and catches up later", error)
                failures = min(failures + 1, 10)
            except Exception:
                log.exception("the store could not be tended")
                failures = min(failures + 1, 10)

    async def _tend(self) -> None:
        await self._prepare()
        if not self._resumed:
            await self._resume()
        await self.ship()
        await self.close_days()
        await self.store.do(Store.relax)
        if self._clock() - self._released >= self._plan.live_every or self._clock() < self._released:
            self._released = self._clock()
            await self.snapshot()
            await self.store.do(Store.relax)

    # - inside

    async def _take(self, pipeline: Pipeline, hits: Sequence[Hit]) -> None:
        for day in pipeline.days(hits):
            await self._ensure(date.fromisoformat(day))
        pipeline.count(hits)
        if pipeline.full:
            await self._flush(pipeline.swap())

    async def _flush(self, cells: Accumulator) -> None:
        async with self._flushing:
            if not cells.facts and self._unwritten is None:
                return
            partial = await self._spool.do(_gather, self._unwritten, cells)
            try:
                await self._spool.do(Spool.append, partial)
            except SpoolError as error:
                if self._unwritten is None:
                    log.warning("%s; what is counted stays in memory until it can be written", error)
                self._trouble = str(error)
                # Beyond the bound only singles are kept.
                self._unwritten = partial if len(partial.hashes) <= _MAX_UNWRITTEN else partial.singles()
            else:
                self._unwritten, self._trouble = None, ""

    async def _send(self, batch: Batch) -> None:
        await self._learn_closed()
        partial = self._open_part(batch.partial)
        await self.store.do(Store.insert_cells, batch.id, partial)
        await self.store.do(Store.insert_totals, batch.id, partial.totals.items())
        await self._spool.do(Spool.sent, batch.id)
        self._changed |= {date.fromisoformat(day) for site, day in partial.days if site == self._plan.site}

    def _open_part(self, partial: Partial) -> Partial:
        """Leave out the days that are closed."""
        closed = self._keyring.closed
        if not partial.days & closed:
            return partial
        left = partial.only(partial.days - closed)
        self.refused += len(partial) - len(left)
        zone = self._plan.settings.timezone
        totals = {
            total: count
            for total, count in partial.totals.items()
            if iso(total.site, day_of(total.minute, zone)) not in closed
        }
        return replace(left, totals=totals)

    async def _resume(self) -> None:
        """Find out what happened since the last run: which days were closed, which may have cells of ours."""
        await self._learn_closed()
        for key in await self._spool.do(Spool.salts):
            if key in self._keyring.closed:
                await self._spool.do(Spool.forget_salt, *key)
        self._changed.update(day for site, day in await self.store.do(Store.open_days) if site == self._plan.site)
        self._resumed = True

    async def _learn_closed(self) -> None:
        for site, day in await self.store.do(Store.closed):
            self._keyring.close(iso(site, day))

    async def _prepare(self) -> None:
        """See to the keys of today, and of tomorrow where that is near."""
        now, zone = self._clock(), self._plan.settings.timezone
        for day in {day_of(now, zone), day_of(now + _AHEAD, zone)}:
            await self._ensure(day)

    async def _ensure(self, day: date) -> None:
        """See to it that the keys of a day are known, unless it is closed."""
        key = iso(self._plan.site, day)
        if self._keyring.knows(key):
            return
        async with self._salting:
            if not self._keyring.knows(key):
                candidate = await self._spool.do(Spool.salt, *key) or new_salt()
                await self._agree(day, candidate)

    async def _agree(self, day: date, candidate: bytes) -> None:
        """Use the store's salt for a day; where the store is away, the candidate."""
        site, key = self._plan.site, iso(self._plan.site, day)
        confirmed = True
        try:
            async with asyncio.timeout(_SALT_TIMEOUT):
                salt = await self.store.do(Store.salt, site, day, candidate)
        except DayClosedError:
            self._keyring.close(key)
            return
        except (StoreError, TimeoutError):
            salt, confirmed = candidate, False
        with contextlib.suppress(SpoolError):
            await self._spool.do(Spool.keep_salt, *key, salt)
        self._keyring.use(key, salt, confirmed=confirmed)

    async def _confirm_salts(self) -> None:
        for site, day in self._keyring.unconfirmed:
            candidate = await self._spool.do(Spool.salt, site, day)
            if candidate is not None:
                await self._agree(date.fromisoformat(day), candidate)

    def _end(self, day: date) -> datetime:
        return datetime.combine(day + timedelta(days=1), _MIDNIGHT, self._plan.settings.timezone)

    def _importing(self, day: date) -> bool:
        return day.isoformat() in self._imported and self._clock() - self._import_seen < _IMPORT_PATIENCE


class _SpoolThread:
    """A spool and the one thread that uses it."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self._executor = ThreadPoolExecutor(1, "spool")
        self._spool: Spool | None = None
        self.owner = ""

    async def open(self) -> None:
        """Raises SpoolError."""
        loop = asyncio.get_running_loop()
        self._spool = await loop.run_in_executor(self._executor, lambda: Spool(self._path, limit=self._limit))
        self.owner = self._spool.owner

    async def do(
        self, action: Callable[Concatenate[Spool, Given], Answer], *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Run ``action`` on the spool, to its end even where the caller is cancelled. Raises SpoolError."""
        if self._spool is None:
            raise SpoolError("spool: not open")
        running = asyncio.get_running_loop().run_in_executor(
            self._executor, functools.partial(action, self._spool, *args, **kwargs)
        )
        return await asyncio.shield(running)

    async def close(self) -> None:
        if self._spool is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._spool.close)
            self._spool = None
        self._executor.shutdown()


def _gather(_: Spool, unwritten: Partial | None, cells: Accumulator) -> Partial:
    taken = cells.take()
    return taken if unwritten is None else merge([unwritten, taken])


def _spool_figures(spool: Spool) -> dict[str, int]:
    return {"hashes": spool.waiting, "bytes": spool.size, "shed": spool.shed}
