"""The recorder: what keeps hits flowing into the store, whatever happens to either end.

    hits → pipeline (memory) → every second → spool (disk) → every ten seconds → store → every ``live_every`` → released

Each arrow has a loop of its own, and a loop that fails tries again. Days are closed two hours after they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from vestibule.core.cells import Accumulator, Partial, merge
from vestibule.core.errors import StoreError
from vestibule.core.meter import Meter
from vestibule.core.visit import Hit, Lookups, Settings
from vestibule.recorder.keyring import Keyring, iso, new_salt
from vestibule.recorder.pipeline import Pipeline, day_of
from vestibule.recorder.revoking import Revoking, is_revocation
from vestibule.recorder.spool import Batch, Spool, SpoolError
from vestibule.recorder.storing import StoreThread
from vestibule.store import DayClosedError, Store

log = logging.getLogger("vestibule.recorder")
Answer = TypeVar("Answer")
Given = ParamSpec("Given")

FLUSH_EVERY = 0.6
"""Seconds between two writes to the disk. What a worker holds back (``link.FLUSH_EVERY``) and the time that a write
takes come on top; all of it is less than the second that a kill may cost."""
SHIP_EVERY = 10.0
ARCHIVE_EVERY = 3600.0
SHARE_EVERY = 2.0
"""Seconds between two looks at what other hosts revoked."""
GRACE = timedelta(hours=2)
"""A day is closed so long after its end: facts of its last visits and of recorders that lag come until then."""

_PAUSE = 0.1
"""Seconds between two writes to the disk at least."""
_LATE = 1.0
"""Seconds after which a hit has waited for a recorder."""
_SALT_TIMEOUT = 5.0
_AHEAD = 2 * 3600
_SURE = 600.0
"""Seconds that the clock must have said that a day is over, before the recorder closes it by itself."""

_IMPORT_PATIENCE = 600.0
_MAX_UNWRITTEN = 5_000_000
_MAX_BACK_OFF = 60.0
_MIDNIGHT = clock_time()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the recorder needs of the configuration.

    store: DSN. secret: the newest. keep_for, prove_for (consent records), live_every, signed_in_for (how long a sign-in
    is kept): seconds. spool: bytes. timezone: IANA name; days begin there.
    """

    site: str
    store: str = field(repr=False)
    secret: str = field(repr=False)
    settings: Settings
    timezone: str = "UTC"
    k: int = 5
    live_every: int = 900
    keep_for: int = 65_000_000
    prove_for: int = 157_788_000
    signed_in_for: int = 400 * 86_400
    spool: int = 1 << 30


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
        self._pipeline = Pipeline(plan.site, plan.settings, lookups, self._keyring.keys)
        self._import = Pipeline(plan.site, plan.settings, lookups, self._keyring.keys)
        self._imported: set[str] = set()
        self._import_seen = 0.0
        self._spool = _SpoolThread(state / "spool.sqlite", plan.spool)
        # Consent records have a connection of their own: who agreed waits for the disk, but never for a merge.
        self._consents = _SpoolThread(state / "spool.sqlite", plan.spool)
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
        self._unwritten: Partial | None = None
        self._counted_lines: dict[str, int] = {}
        self._unwritten_lines: dict[str, int] = {}
        self._trouble = ""
        self._flushing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._changed: set[date] = set()
        self._passed = passed
        self._over: dict[date, float] = {}
        self._salting = asyncio.Lock()
        self._shipping = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._aside: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._released = 0.0
        self._archived = 0.0
        self._snapshot = 0.0
        self._resumed = False
        self.dropped = 0
        """Hits that workers dropped because they could not send them."""
        self.refusals: Counter[int] = Counter()
        """Messages that workers refused, by status."""
        self.meter = Meter()
        """What workers measured, all together."""
        self.refused = 0
        """Cells that came for days that were closed already."""
        self._behind: float | None = clock()
        self._open_days = 0

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
        await self.revoking.open()
        await self._prepare()

    def run(self) -> None:
        """Start the loops."""
        for loop in (self._flush_loop, self._store_loop, self._share_loop):
            self._tasks.append(asyncio.create_task(loop()))

    async def stop(self) -> None:
        """End all visits, write everything to disk, close. What the store has not got is sent after the next start."""
        self._stopping.set()
        self._hurry.set()
        # The first of the loops writes what there is and ends by itself.
        for task in (*self._tasks[1:], *((self._sending,) if self._sending else ())):
            task.cancel()
        aside = [task for task in (self._aside, self._sending) if task is not None]
        await asyncio.gather(*self._tasks, *aside, return_exceptions=True)
        for pipeline in (self._pipeline, self._import):
            pipeline.end_visits()
            await self._swap(pipeline)
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
        self._pipeline.settings = self._import.settings = plan.settings

    # - intake

    async def hits(self, hits: Sequence[Hit], dropped: int = 0) -> None:
        """Count what workers saw. dropped: what they could not send."""
        self.dropped += dropped
        await self._take(self._pipeline, hits)
        if hits and self._clock() - hits[0].time > _LATE:
            # They waited for a recorder, as after a kill; another one must not cost more than the last second either.
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

    async def import_hits(self, hits: Sequence[Hit], source: str = "", lines: int = 0) -> None:
        """Count hits of the past, in the order of their times. What came is on disk a second later.

        source: the log they are from, as ``import_source`` names it; lines: up to which of its lines all have come.
        That is written together with what was counted of them.
        """
        self._import_seen = self._clock()
        self._imported |= self._import.days(hits)
        await self._take(self._import, hits, {source: lines} if source else {})
        if hits:
            self._import.end_visits(max(hit.time for hit in hits))

    def import_source(self, first: str) -> str:
        """The name of a log by its first line: a keyed hash, since the line names a visitor."""
        key = hashlib.sha256(f"vestibule import\n{self._plan.secret}".encode()).digest()
        return hashlib.blake2b(first.encode("utf-8", "replace"), key=key, digest_size=16).hexdigest()

    async def import_position(self, source: str) -> int:
        """How many lines of a log were counted before, and are on disk. Raises SpoolError."""
        return await self._spool.do(Spool.imported, source)

    async def finish_import(self) -> dict[str, Any]:
        """End an import: all it brought is stored and released, days that are over are closed. Raises StoreError."""
        self._import.end_visits()
        if self._aside is not None:
            await self._aside
        await self._swap(self._import)
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
            await self._swap(pipeline)

    async def ship(self) -> None:
        """Send everything that waits to the store. Raises StoreError."""
        async with self._shipping:
            await self._confirm_salts()
            while batch := await self._spool.do(Spool.freeze):
                await self._send(batch)
            self._behind = None
            while frozen := await self._consents.do(Spool.freeze_consents):
                token, records = frozen
                await self.store.do(Store.insert_consent, token, records)
                await self._consents.do(Spool.consents_sent, token)

    async def snapshot(self) -> None:
        """Release the open days anew in which something has changed. Raises StoreError."""
        for day in sorted(self._changed):
            await self.store.do(Store.release, self._plan.site, day, k=self._plan.k, owner=self._spool.owner)
            self._changed.discard(day)
        self._snapshot = self._clock()

    async def close_days(self, only: date | None = None, *, patience: float = 0) -> list[str]:
        """Close the days that are over; return those that were closed now. Raises StoreError.

        only: close this day, even within the time of grace. patience: seconds for which the clock must have said that a
        day is over, since a clock that jumped may be set right again. A day that an import is adding to stays open.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        closed = []
        over_before, self._over = self._over, {}
        there = await self.store.do(Store.open_days)
        for site, day in there:
            over = self._end(day) + (timedelta() if day == only else GRACE) <= now
            if not over or site != self._plan.site:
                continue
            since = self._over[day] = over_before.get(day, self._passed())
            due = self._passed() - since >= patience and only in (None, day) and not self._importing(day)
            if due and await self._close(day, now):
                closed.append(day.isoformat())
        self._open_days = sum(site == self._plan.site for site, _ in there) - len(closed)
        if closed:
            await self.archive()
        return closed

    async def archive(self) -> None:
        """Put closed days where they are asked for fast. Raises StoreError."""
        self._archived = self._clock()
        # A few at a time, so that other questions are answered in between.
        while await self.store.do(Store.archive, self._plan.site, datetime.fromtimestamp(self._clock(), UTC)):
            pass

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
        """Numbers for health and metrics. snapshot: when the open days were released last, in seconds since the epoch;
        0 if not yet. spool: ``age`` is since when, in seconds, something in it waits for the store. days: as the store
        said last. served: see ``Meter.figures``."""
        spool = await self._spool.do(_spool_figures)
        age = 0 if self._behind is None else max(int(self._clock() - self._behind), 0)
        closed = sum(site == self._plan.site for site, _ in self._keyring.closed)
        return {
            "store": self.store.trouble or "ok",
            "store_errors": self.store.errors,
            "snapshot": int(self._snapshot),
            "days": {"open": self._open_days, "closed": closed},
            "spool": {
                **spool,
                "age": age,
                "limit": self._plan.spool,
                **({"error": self._trouble} if self._trouble else {}),
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
        await self._prepare()
        if not self._resumed:
            await self._resume()
        await self.ship()
        await self.close_days(patience=_SURE)
        await self.store.do(Store.relax)
        if self._clock() - self._released >= self._plan.live_every or self._clock() < self._released:
            self._released = self._clock()
            await self.snapshot()
            await self.store.do(Store.relax)
        if abs(self._clock() - self._archived) >= ARCHIVE_EVERY:
            await self.archive()

    # - inside

    async def _take(
        self, pipeline: Pipeline, hits: Sequence[Hit], imported: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        for day in pipeline.days(hits):
            await self._ensure(date.fromisoformat(day))
        # Nothing is waited for between these two, so that what is written of them is always of both.
        pipeline.count(hits)
        self._counted_lines.update(imported)
        if not pipeline.full:
            return
        if pipeline is self._import:
            await self._put_aside()
        else:
            await self._swap(pipeline)

    async def _put_aside(self) -> None:
        """Write what an import has counted, and send what it wrote before, while it goes on."""
        if self._aside is not None:
            await self._aside
        self._aside = asyncio.create_task(self._flush(*self._swapped(self._import)))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_if_it_can())

    async def _send_if_it_can(self) -> None:
        with contextlib.suppress(StoreError, SpoolError):
            await self.ship()

    async def _swap(self, pipeline: Pipeline) -> None:
        await self._flush(*self._swapped(pipeline))

    def _swapped(self, pipeline: Pipeline) -> tuple[Accumulator, Mapping[str, int]]:
        """What has been counted, and of which logs how many lines."""
        lines: Mapping[str, int] = {}
        if pipeline is self._import:
            lines, self._counted_lines = self._counted_lines, {}
        return pipeline.swap(), lines

    async def _flush(self, cells: Accumulator, imported: Mapping[str, int]) -> None:
        async with self._flushing:
            self._unwritten_lines.update(imported)
            if not cells.facts and self._unwritten is None and not self._unwritten_lines:
                return
            partial = await self._spool.do(_gather, self._unwritten, cells)
            try:
                if self._behind is None:
                    self._behind = self._clock()
                await self._spool.do(Spool.append, partial, dict(self._unwritten_lines))
            except SpoolError as error:
                if self._unwritten is None:
                    log.warning("%s; what is counted stays in memory until it can be written", error)
                self._trouble = str(error)
                # Beyond the bound only singles are kept.
                self._unwritten = partial if len(partial.hashes) <= _MAX_UNWRITTEN else partial.singles()
            else:
                self._unwritten, self._trouble = None, ""
                self._unwritten_lines.clear()

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
