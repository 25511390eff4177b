"""The recorder: what keeps hits flowing into the store, whatever happens to either end.

    hits → pipeline (memory) → every second → spool (disk) → every ten seconds → store → every ``live_every`` → released
                                               or when there is much

Each arrow has a loop of its own, and a loop that fails tries again. Days are closed two hours after they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from vestibule.core.errors import StoreError
from vestibule.core.meter import Meter
from vestibule.core.visit import Hit, Lookups
from vestibule.link import Delivery
from vestibule.recorder.days import Days
from vestibule.recorder.importing import Importing
from vestibule.recorder.intake import Intake
from vestibule.recorder.keyring import Keyring
from vestibule.recorder.pipeline import Pipeline, day_of
from vestibule.recorder.plan import Plan
from vestibule.recorder.revoking import Revoking, is_revocation
from vestibule.recorder.salting import Salting
from vestibule.recorder.shipping import Shipping
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.spooling import SpoolThread
from vestibule.recorder.storing import StoreThread
from vestibule.recorder.writing import Writing
from vestibule.store import Store

__all__ = ["Plan", "Recorder"]

log = logging.getLogger("vestibule.recorder")

FLUSH_EVERY = 0.6
"""Seconds between two writes to the disk. So long, and as long as a write takes, workers hold what they handed over:
no kill of the recorder costs it, only one of both together."""
SHIP_EVERY = 10.0
SHIP_AT = 500_000
"""Hashes that wait for the store, with which it is not waited so long."""
ARCHIVE_EVERY = 3600.0
SHARE_EVERY = 2.0
"""Seconds between two looks at what other hosts revoked."""
_PAUSE = 0.1
"""Seconds between two writes to the disk at least."""
_LATE = 1.0
"""Seconds after which a hit has waited for a recorder."""
_SURE = 600.0
"""Seconds that the clock must have said that a day is over, before the recorder closes it by itself."""

_MAX_BACK_OFF = 60.0


class Recorder:
    """One site's recorder. It runs in one event loop; ``clock`` gives seconds since the epoch, ``passed`` seconds that
    pass at one pace, whatever the clock does. store: that of another recorder of the same instance, which closes it."""

    def __init__(
        self,
        plan: Plan,
        state: Path,
        lookups: Lookups,
        *,
        clock: Callable[[], float] = time.time,
        passed: Callable[[], float] = time.monotonic,
        store: StoreThread | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._keyring = Keyring(plan.secret)
        self._pipeline, past = (Pipeline(plan.site, plan.settings, lookups, self._keyring.keys) for _ in range(2))
        self._spool = SpoolThread(state / "spool.sqlite", plan.spool)
        # Consent records have a connection of their own: who agreed waits for the disk, but never for a merge.
        self._consents = SpoolThread(state / "spool.sqlite", plan.spool)
        self._borrows = store is not None
        self.store = store or StoreThread(plan.store, plan.keep_for, plan.prove_for)
        self.revoking = Revoking(
            plan.site,
            self._consents,
            self.store,
            lambda: secrets.token_hex(8),
            clock,
            # Another recorder of this instance holds the list of all.
            shared=not (self._borrows or plan.store.startswith("chdb:")),
            keep_for=lambda: self._plan.signed_in_for,
        )
        """What was signed out of."""
        self._salting = Salting(lambda: self._plan, self._keyring, self._spool, self.store)
        self._shipping = Shipping(
            lambda: self._plan, self._keyring, self._salting, self._spool, self._consents, self.store, clock
        )
        self._writing = Writing(self._spool)
        self._intake, intake_of_past = (
            Intake(pipeline, self._salting, self._spool, self._writing, self._wrote)
            for pipeline in (self._pipeline, past)
        )
        self.importing = Importing(
            intake_of_past, self._spool, plan.secret, clock, self.ship, lambda: self._plan.keep_for
        )
        """Counts logs of the past."""
        self._days = Days(
            lambda: self._plan,
            self._keyring,
            self._spool,
            self.store,
            self._shipping,
            clock=clock,
            passed=passed,
            empty=self._empty,
            importing=self.importing.adds_to,
        )
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._much = asyncio.Event()
        # Why the last shipping failed; empty where it did not.
        self._unsent = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._released = 0.0
        self._resumed = False
        self.dropped = 0
        """Hits that workers dropped because they could not send them."""
        self.refusals: Counter[int] = Counter()
        """Messages that workers refused, by status."""
        self.meter = Meter()
        """What workers measured, all together."""
        self.leaving = False
        """The site is gone: no further day is begun."""
        self.left = False
        """And all that there were are closed."""

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def refused(self) -> int:
        """Cells that came for days that were closed already."""
        return self._shipping.refused

    def today(self) -> date:
        """The day it is where the site is."""
        return day_of(self._clock(), self._plan.settings.timezone)

    async def start(self) -> None:
        """Open the spool, and the store if it is there. Raises SpoolError."""
        await self._spool.open()
        await self._consents.open()
        await self.revoking.open()
        await self._salting.prepare(self._clock())

    def run(self) -> None:
        """Start the loops."""
        for loop in (self._flush_loop, self._store_loop, self._share_loop):
            self._tasks.append(asyncio.create_task(loop()))

    async def stop(self) -> None:
        """End all visits, write everything to disk, close. What the store has not got is sent after the next start."""
        self._stopping.set()
        self._hurry.set()
        # The first of the loops writes what there is and ends by itself.
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self.importing.stop(), return_exceptions=True)
        for intake in self._intakes:
            intake.close()
        for intake in self._intakes:
            intake.pipeline.end_visits()
            await intake.flush()
        self._writing.give_up()
        if not self._borrows:
            await self.store.close()
        await self._spool.close()
        await self._consents.close()

    def reload(self, plan: Plan) -> None:
        """Take up another plan; what is bound to the store, the spool and the keys stays as it was."""
        old = self._plan
        self._plan = replace(
            plan,
            site=old.site,
            store=old.store,
            secret=old.secret,
            keep_for=old.keep_for,
            prove_for=old.prove_for,
            spool=old.spool,
        )
        for intake in self._intakes:
            intake.pipeline.settings = plan.settings

    # - intake

    async def hits(self, hits: Sequence[Hit], dropped: int = 0, delivery: Delivery | None = None) -> bool:
        """Count what workers saw. dropped: what they could not send. delivery: which message it was; one that was
        counted before is not counted again. Returns whether it was counted now. Raises SpoolError where this one
        ends."""
        fresh = True
        if delivery is None:
            await self._intake.take(hits)
        else:
            fresh = await self._intake.once(hits, delivery)
        if fresh:
            self.dropped += dropped
        if self._pipeline.full:
            await self._intake.flush()
        if hits and self._clock() - hits[0].time > _LATE:
            # They waited for a recorder, as after a kill.
            self.hurry()
        return fresh

    def kept(self) -> asyncio.Future[None]:
        """What is done once all hits that came until now are on disk; see ``Intake.promise``. Raises SpoolError where
        this one ends."""
        return self._intake.promise()

    def hurry(self) -> None:
        """Write soon: somebody waits for it."""
        self._hurry.set()

    def refuse(self, refusals: Mapping[int, int]) -> None:
        """Count messages that workers refused to read, by status."""
        self.refusals.update(refusals)

    async def record(self, record: Mapping[str, Any]) -> None:
        """Take a consent record or a revocation; returns once it is on disk. Raises SpoolError, RevocationError."""
        if is_revocation(record):
            await self.revoking.take(record)
        else:
            await self._consents.do(Spool.add_consent, record)

    async def records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take many records at once, as they waited in a journal; returns once all are on disk. Raises as ``record``
        does, and then may have taken some."""
        consents = [record for record in records if not is_revocation(record)]
        if consents:
            await self._consents.do(Spool.add_consent, *consents)
        for record in records:
            if is_revocation(record):
                await self.revoking.take(record)

    async def close_imported(self, days: Collection[str], name: str = "") -> list[str]:
        """Close those of some days (ISO 8601) that are over, of which an import brings nothing more; return which were.
        While the store is away, or the disk is full, they wait for the import's end; and so do days that somebody else
        has added to, who may go on."""
        try:
            if self._unsent:
                return []
            await self.importing.done(days, name)
            return await self._days.close(among=await self._days.ours_alone(map(date.fromisoformat, days)))
        except (StoreError, SpoolError):
            return []

    async def finish_import(self, name: str = "") -> dict[str, Any]:
        """End an import: all it brought is stored and released, days that are over are closed. Raises StoreError."""
        await self.importing.finish(name)
        closed = await self.close_days()
        await self.snapshot()
        return {**self.importing.figures(), "closed": closed}

    # - what the loops do; also at a command's wish

    async def flush(self) -> None:
        """Write what has been counted to disk."""
        self._pipeline.end_visits(self._clock())
        for intake in self._intakes:
            await intake.flush()

    async def ship(self) -> None:
        """Send everything that waits to the store. Raises StoreError."""
        try:
            await self._shipping.ship()
        except SpoolError:
            raise
        except Exception as error:
            # Other calls may succeed while this goes on failing. Words that are not ours might tell what was counted.
            self._unsent = str(error) if isinstance(error, StoreError) else f"store: {type(error).__name__}"
            raise
        self._unsent = ""

    async def snapshot(self) -> None:
        """Release the open days anew in which something has changed. Raises StoreError."""
        await self._days.snapshot()

    async def close_days(self, only: date | None = None, *, patience: float = 0) -> list[str]:
        """Close the days that are over; return those that were closed now. See ``Days.close``. Raises StoreError."""
        return await self._days.close(only, patience=patience)

    async def archive(self) -> None:
        """Put closed days where they are asked for fast. Raises StoreError."""
        await self._days.archive()

    async def figures(self) -> dict[str, Any]:
        """Numbers for health and metrics. snapshot: when the open days were released last, in seconds since the epoch;
        0 if not yet. spool: ``age`` is since when, in seconds, something in it waits for the store. days: as the store
        said last. served: see ``Meter.figures``."""
        spool, trouble = await self._spool.figures(), self._writing.trouble
        closed = sum(site == self._plan.site for site, _ in self._keyring.closed)
        return {
            "store": self.store.trouble or self._unsent or "ok",
            "store_errors": self.store.errors,
            "snapshot": int(self._days.snapshot_made),
            "days": {"open": self._days.open, "closed": closed},
            "spool": {
                **spool,
                "age": self._shipping.age,
                "limit": self._plan.spool,
                **({"error": trouble} if trouble else {}),
            },
            "facts": dict(self._pipeline.facts),
            "drops": dict(self._pipeline.drops),
            "visits": self._pipeline.visits,
            "dropped": self.dropped,
            "refused": self.refused,
            "refusals": {str(status): count for status, count in self.refusals.items()},
            "served": self.meter.figures(),
        }

    # - loops

    async def _flush_loop(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), FLUSH_EVERY - _PAUSE)
            self._hurry.clear()
            try:
                await self.flush()
            except Exception:
                log.exception("what was counted could not be written")
            await asyncio.sleep(_PAUSE)

    async def _store_loop(self) -> None:
        now = asyncio.get_running_loop().time
        failures, tended = 0, now()
        while True:
            interval = min(SHIP_EVERY, self._plan.live_every)
            if failures:
                await asyncio.sleep(min(interval * 2**failures, _MAX_BACK_OFF))
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._much.wait(), max(tended + interval - now(), 0))
            self._much.clear()
            try:
                if failures or now() >= tended + interval:
                    await self._tend()
                    tended = now()
                else:
                    await self.ship()
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

    async def _share_loop(self) -> None:
        """Troubles of the store are told by its own loop."""
        while True:
            try:
                await self.revoking.tend()
            except (StoreError, SpoolError):
                await asyncio.sleep(SHIP_EVERY)
            else:
                await asyncio.sleep(SHARE_EVERY)

    async def _tend(self) -> None:
        if not self.leaving:
            await self._salting.prepare(self._clock())
        if not self._resumed:
            await self._resume()
        await self.ship()
        await self.close_days(patience=_SURE)
        await self.store.do(Store.relax)
        if self._clock() - self._released >= self._plan.live_every or self._clock() < self._released:
            self._released = self._clock()
            await self.snapshot()
            await self.store.do(Store.relax)
        if abs(self._clock() - self._days.archived) >= ARCHIVE_EVERY:
            await self.archive()
        self.left = self.leaving and not self._days.open

    # - inside

    @property
    def _intakes(self) -> tuple[Intake, Intake]:
        return self._intake, self.importing.intake

    def _wrote(self) -> None:
        self._shipping.wrote()
        if self._writing.waiting >= SHIP_AT:
            self._much.set()

    async def _empty(self) -> None:
        await self.flush()
        if self._writing.trouble:
            # What was counted of a day must not come after it was closed.
            raise SpoolError(self._writing.trouble)
        await self.ship()

    async def _resume(self) -> None:
        """Find out what happened since the last run: which days were closed, which may have cells of ours."""
        await self._salting.forget_closed()
        await self._days.resume()
        self._resumed = True
