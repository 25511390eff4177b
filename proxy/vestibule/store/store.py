"""The store: every statement that Vestibule sends to ClickHouse or chDB goes through here."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from vestibule.core.cells import Partial, Total
from vestibule.core.errors import QuestionError, StoreError
from vestibule.core.revocations import Revocation
from vestibule.store import asking, office, releasing, rows
from vestibule.store.archiving import Archive
from vestibule.store.engine import is_embedded, layout_of, open_client, refusals
from vestibule.store.layout import Layout
from vestibule.store.migrating import migrate
from vestibule.store.questions import Breakdown, Question, TimeSeries
from vestibule.store.settled import Settled

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_ENGINE = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
_EXACTLY_ONCE: dict[str, Any] = {
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "insert_deduplicate": 1,
    # A batch of an import may well bring more than a hundred days.
    "max_partitions_per_insert_block": 0,
}
_CELLS: dict[str, Any] = {
    **_EXACTLY_ONCE,
    # No cell is in a batch twice, so there is nothing to add up on the way in: a third of an insert's time.
    "optimize_on_insert": 0,
}


class DayClosedError(QuestionError):
    """The day is closed: its salt is gone, and it takes no more facts."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing a day came to; true where it was closed now.

    refused: cells that had come for it after it was closed, or what was added to cells while it was, and were removed.
    """

    closed: bool
    refused: int = 0

    def __bool__(self) -> bool:
        return self.closed


@dataclass(frozen=True, slots=True)
class User:
    """A member of staff. ``password_hash`` is argon2's encoded form."""

    name: str
    password_hash: str = field(repr=False)
    role: str = "viewer"


def open_store(dsn: str) -> Store:
    """Open the store of a ``store:`` setting. Raises StoreError where it can't be reached, with what to do about it."""
    return Store(open_client(dsn), layout_of(dsn))


class Store:
    """One connection, for one thread at a time. Every method may raise StoreError, and may then be repeated: what was
    written once is not written twice."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client, self._layout = client, layout
        self._archive = Archive(client, layout)
        self._settled = Settled()
        self._keep: int | None = None

    def close(self) -> None:
        self._client.close()

    def ping(self) -> None:
        """Raise StoreError if the store doesn't answer."""
        with refusals("it does not answer"):
            self._client.command("SELECT 1")

    def migrate(self) -> list[str]:
        """Create or update the tables; return the names of the migrations that were applied."""
        with refusals("the tables cannot be made"):
            return migrate(self._client, self._layout)

    def keep(self, seconds: int, records: int | None = None) -> None:
        """Let the store forget released numbers and totals after so long. records: seconds after which consent records
        go; as they were if None."""
        self._keep = seconds
        with refusals("the time to keep cannot be set"):
            for table, column, period in (
                ("cells", "day", seconds),
                ("archive", "day", seconds),
                ("archive_months", "month", seconds),
                ("totals", "minute", seconds),
                ("consent_records", "time", records),
            ):
                if period is None:
                    continue
                (found,) = self._rows(_ENGINE, {"table": self._layout.stored(table)})
                wanted = f"TTL {column} + toIntervalSecond({int(period)})"
                if wanted not in found[0]:
                    self._client.command(self._layout.change(table, f"MODIFY {wanted}"))

    def relax(self) -> None:
        """Give memory that is not needed any more back to the system, where the engine is in this process."""
        if is_embedded(self._client):
            with refusals("it does not answer"):
                self._client.command("SYSTEM JEMALLOC PURGE")
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)

    # - counting

    def insert_cells(self, batch: str, partial: Partial) -> None:
        """Add cells to their open days. The same batch is added once, however often it is sent."""
        if len(partial):
            settings = {**_CELLS, "insert_deduplication_token": f"cells/{batch}"}
            with refusals("it does not take what was counted"):
                self._client.raw_insert(
                    "incoming", insert_block=rows.of_partial(partial), settings=settings, fmt="Native"
                )

    def insert_totals(self, batch: str, totals: Iterable[tuple[Total, int]]) -> None:
        """Add facts by minute and kind, once for each batch."""
        columns = rows.of_totals(totals)
        if columns[0]:
            self._insert("totals", rows.TOTALS, columns, f"totals/{batch}")

    def salt(self, site: str, day: date, candidate: bytes) -> bytes:
        """Return the salt of a day: the one that the store has, or else ``candidate``, which it then has.

        Raises DayClosedError where the day is closed: its salt is gone and must not be made anew.
        """
        known = self._salt(site, day)
        if known is not None:
            return known
        if (site, day) in self.closed():
            raise DayClosedError(f"store: {day} is closed")
        # Whoever comes second with this token is not written, so all get the first one's.
        columns: rows.Columns = [[site], [day], [candidate.hex()]]
        self._insert("salts", ("site", "day", "salt"), columns, f"salt/{site}/{day}")
        return self._salt(site, day) or candidate

    def closed(self) -> frozenset[tuple[str, date]]:
        """The sites and days that take no more facts."""
        return frozenset((site, day) for site, day in self._rows("SELECT DISTINCT site, day FROM closed_days"))

    def open_days(self) -> list[tuple[str, date]]:
        """The sites and days that have open cells, or a salt, or were claimed for closing but not finished."""
        return [
            (site, day)
            for site, day in self._rows(
                "SELECT site, day FROM (SELECT DISTINCT site, day FROM open_cells"
                " UNION DISTINCT SELECT site, day FROM salts"
                " UNION DISTINCT SELECT site, day FROM closed_days GROUP BY site, day HAVING max(state) = 'claimed')"
                " ORDER BY site, day"
            )
        ]

    def added(self, site: str, until: date) -> dict[date, int]:
        """How many facts the open cells of each day until then count, the last one too: it rises with whatever any
        recorder adds. Days without cells are left out.

        When a part of a table was written is told by ``system.parts`` only, which a user needs a further grant for, and
        of the server that was asked only.
        """
        found = self._rows(
            "SELECT day, sum(count) FROM open_cells WHERE site = {site:String} AND day <= {until:Date} GROUP BY day",
            {"site": site, "until": until},
        )
        return {day: int(count) for day, count in found}

    def release(self, site: str, day: date, *, k: int, owner: str) -> bool:
        """Make the snapshot of an open day; return False where the day is closed or has no cells."""
        with refusals("it cannot be read"):
            if (site, day) in self.closed() or not releasing.open_facts(self._client, site, day):
                return False
        with refusals("a snapshot cannot be made"):
            made = releasing.release(self._client, self._layout, site, day, k=k, provisional=True, owner=owner)
        self._archive.changed()
        return made is not None

    def close_day(self, site: str, day: date, *, k: int, owner: str, now: datetime, patience: int = 3600) -> Closing:
        """Release a day for good and forget its cells and its salt.

        owner: who does it, the same after a restart. The day is not closed now where that is done, or another one is at
        it and has begun less than ``patience`` seconds ago, or took over while this one stood still (see
        ``releasing.release``). It may be cut short anywhere and repeated: exact numbers are put in place once, all of
        them together, and until then the open cells are there.

        A batch may have been under way when the day was closed, and have landed after it. No more is told of it: of a
        day that is done, its cells and its salt are removed.
        """
        if self._is_done(site, day):
            return Closing(False, self._forget_late(site, day))
        if not self._claim(site, day, owner, now, patience):
            return Closing(False)
        with refusals("a day cannot be closed"):
            facts = releasing.open_facts(self._client, site, day)
            if facts and not releasing.is_told(self._client, site, day):
                made = releasing.release(self._client, self._layout, site, day, k=k, provisional=False, owner=owner)
                # A snapshot that stood still may have come between: what it was made of is still there.
                if made is None or (
                    made and not self._is_too_old(day, now) and not releasing.is_told(self._client, site, day)
                ):
                    return Closing(False)
            late = max(releasing.open_facts(self._client, site, day) - facts, 0)
            self._forget(site, day)
        self._note_closed(site, day, "done", owner, now)
        self._archive.changed()
        # What cannot be removed today may be tomorrow.
        with suppress(StoreError), refusals("what others left cannot be removed"):
            releasing.sweep(self._client, self._layout)
        return Closing(True, late)

    def _is_too_old(self, day: date, now: datetime) -> bool:
        """Whether released numbers of a day may not be kept any more, or hardly: the store forgets them at once."""
        return self._keep is not None and (now.date() - day).days >= self._keep // 86_400 - 1

    def archive(self, site: str, now: datetime) -> bool:
        """Put closed days where years of them are asked for fast; return whether there are more to do."""
        with refusals("days cannot be archived"):
            return self._archive.take(site, now)

    def purge(self) -> None:
        """Remove at once what is older than it may be."""
        with refusals("old numbers cannot be removed"):
            for table in ("cells", "archive", "archive_months", "totals", "consent_records"):
                self._client.command(self._layout.optimize(table))
        self._settled.clear()

    # - asking

    def answers(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """Answer many questions, see ``breakdown`` and ``timeseries``; those about the same days share queries."""
        with refusals("the numbers cannot be read"):
            lying = {site: self._archive.lying(site) for site in {question.site for question in questions}}
            return asking.answers(self._client, lying, questions, self._settled)

    def breakdown(self, question: Breakdown) -> dict[str, Any]:
        """Return ``{"rows": [{"value", "count", "visitors"}], "rare": {"count", "visitors"}, "provisional": bool}``.

        Rows come by falling count; ``visitors`` over several days is the sum of the days'.
        """
        return self.answers([question])[0]

    def timeseries(self, question: TimeSeries) -> dict[str, Any]:
        """Return ``{"points": [{"time", "count"}], "provisional": bool}``; times without facts are left out, and points
        that come from released cells have ``visitors``."""
        return self.answers([question])[0]

    # - consent records

    def insert_consent(self, batch: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep consent records. Of each, ``id`` and ``site`` are texts and ``time`` is in seconds since the epoch."""
        if records:
            columns: rows.Columns = [
                [str(record.get("site", "")) for record in records],
                [str(record.get("id", "")) for record in records],
                [int(record.get("time", 0)) for record in records],
                [json.dumps(dict(record), separators=(",", ":"), sort_keys=True) for record in records],
            ]
            self._insert("consent_records", ("site", "id", "time", "record"), columns, f"consent/{batch}")

    def consent_record(self, site: str, record: str) -> dict[str, Any] | None:
        """Return a consent record by its id, or None."""
        found = self._rows(
            "SELECT record FROM consent_records WHERE site = {site:String} AND id = {id:String} LIMIT 1",
            {"site": site, "id": record},
        )
        return None if not found else dict(json.loads(found[0][0]))

    # - revocations

    def insert_revocations(self, site: str, revocations: Sequence[Revocation]) -> None:
        """Keep revocations; the same one twice is one."""
        if revocations:
            columns: rows.Columns = [
                [site] * len(revocations),
                [each.mark for each in revocations],
                [datetime.fromtimestamp(each.time / 1000, UTC) for each in revocations],
            ]
            with refusals("a revocation cannot be written"):
                names = ("site", "mark", "time")
                self._client.insert("revocations", columns, column_names=names, column_oriented=True)

    def revocations(self, site: str, since: int) -> tuple[list[Revocation], int]:
        """Revocations that were written since then (milliseconds since the epoch, by the store's clock; 0 for all), the
        oldest first, and the store's time."""
        (now,) = self._rows("SELECT toUnixTimestamp64Milli(now64(3))")
        found = self._rows(
            "SELECT mark, toUnixTimestamp64Milli(max(time)) AS newest FROM revocations"
            " WHERE site = {site:String} AND added >= fromUnixTimestamp64Milli({since:Int64})"
            " GROUP BY mark ORDER BY newest",
            {"site": site, "since": since},
        )
        return [Revocation(mark, int(time)) for mark, time in found], int(now[0])

    # - staff

    def users(self) -> list[User]:
        """All accounts, by name."""
        found = self._rows("SELECT name, password_hash, role FROM users FINAL WHERE NOT removed ORDER BY name")
        return [User(*row) for row in found]

    def user(self, name: str) -> User | None:
        return next((user for user in self.users() if user.name == name), None)

    def add_user(self, user: User, now: datetime) -> None:
        """Add an account, or replace the one of that name."""
        self._put_user(user, False, now)

    def remove_user(self, name: str, now: datetime) -> bool:
        """Remove an account; return whether there was one."""
        user = self.user(name)
        if user is not None:
            # The hash goes at once; the name stays as a marker until the next merge.
            self._put_user(User(name, "", user.role), True, now)
            with refusals("the account cannot be removed"):
                self._client.command(self._layout.optimize("users"))
        return user is not None

    # - the staff's small tables

    def office_entries(self, site: str, table: str, limit: int) -> list[dict[str, Any]]:
        """See ``office.entries``."""
        with refusals("it cannot be read"):
            return office.entries(self._client, site, table, limit)

    def office_put(self, site: str, table: str, id_: str, row: Mapping[str, Any] | None, now: datetime) -> None:
        """See ``office.put``."""
        with refusals("it cannot be written"):
            office.put(self._client, site, table, id_, row, now)

    def office_days(self, site: str) -> dict[str, Any]:
        """See ``office.days``."""
        with refusals("it cannot be read"):
            return office.days(self._client, site)

    # - inside

    def _put_user(self, user: User, removed: bool, now: datetime) -> None:
        columns: rows.Columns = [[user.name], [user.password_hash], [user.role], [removed], [now]]
        names = ("name", "password_hash", "role", "removed", "changed")
        with refusals("the account cannot be written"):
            self._client.insert("users", columns, column_names=names, column_oriented=True)

    def _insert(self, table: str, names: Sequence[str], columns: rows.Columns, token: str) -> None:
        settings = {**_EXACTLY_ONCE, "insert_deduplication_token": token}
        with refusals("it does not take what was counted"):
            self._client.insert(table, columns, column_names=names, column_oriented=True, settings=settings)

    def _rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        with refusals("it cannot be read"):
            return self._client.query(sql, parameters=dict(parameters or {})).result_rows

    def _salt(self, site: str, day: date) -> bytes | None:
        found = self._rows(
            "SELECT salt FROM salts WHERE site = {site:String} AND day = {day:Date} ORDER BY salt LIMIT 1",
            {"site": site, "day": day},
        )
        return bytes.fromhex(found[0][0]) if found else None

    def _claim(self, site: str, day: date, owner: str, now: datetime, patience: int) -> bool:
        """Whether the day is this owner's to close. The last who claimed it has it; there is one row for each time
        that it changes hands, whoever wants it at the same time."""
        holder = self._holder(site, day)
        if holder is None:
            self._note_closed(site, day, "claimed", owner, now)
        elif holder[0] != owner and (now.replace(microsecond=0) - holder[1]).total_seconds() > patience:
            self._note_closed(site, day, "claimed", owner, now, f"/after/{holder[1].isoformat()}/{holder[0]}")
        else:
            return holder[0] == owner
        holder = self._holder(site, day)
        return holder is not None and holder[0] == owner

    def _holder(self, site: str, day: date) -> tuple[str, datetime] | None:
        """Who claimed a day last, and when."""
        found = self._rows(
            "SELECT owner, time FROM closed_days WHERE site = {site:String} AND day = {day:Date} AND state = 'claimed'"
            " ORDER BY time DESC LIMIT 1",
            {"site": site, "day": day},
        )
        return (found[0][0], found[0][1].replace(tzinfo=UTC)) if found else None

    def _is_done(self, site: str, day: date) -> bool:
        found = self._rows(
            "SELECT count() FROM closed_days WHERE site = {site:String} AND day = {day:Date} AND state = 'done'",
            {"site": site, "day": day},
        )
        return bool(found[0][0])

    def _note_closed(self, site: str, day: date, state: str, owner: str, now: datetime, after: str = "") -> None:
        """after: whose claim it follows, as a part of the token."""
        columns: rows.Columns = [[site], [day], [state], [owner], [now]]
        self._insert("closed_days", ("site", "day", "state", "owner", "time"), columns, f"{state}/{site}/{day}{after}")

    def _forget_late(self, site: str, day: date) -> int:
        """Remove what came for a day after it was closed; return how many cells."""
        found = self._rows(
            "SELECT count() FROM open_cells WHERE site = {site:String} AND day = {day:Date}", {"site": site, "day": day}
        )
        with refusals("what came too late cannot be removed"):
            self._forget(site, day)
        return int(found[0][0])

    def _forget(self, site: str, day: date) -> None:
        where = releasing.partition(site, day)
        for table in ("open_cells", "salts"):
            self._client.command(self._layout.change(table, f"DROP PARTITION {where}"))
