"""What has been counted but not stored yet: an SQLite file that survives a crash and an outage of the store.

Every second's partial is written and synced to disk; it holds cells and their hashes, never a visitor. When there is a
store to send to, waiting partials are merged and frozen into one batch, whose id makes the store take it once, however
often it is sent. While there is none, partials merge among each other (see ``merging``), so that the file follows the
number of different cells and visitors and not that of facts. At ``limit`` bytes the oldest pairs go first, then the
oldest cells; ``shed`` says how many.

Only one process may have a spool open. Methods block (they wait for the disk), and are to be called from one thread.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vestibule.core.cells import Partial, empty, merge
from vestibule.core.errors import VestibuleError
from vestibule.core.revocations import Revocation
from vestibule.recorder.merging import HEAVY, ROOT, Part, below, depth, due

MAX_HASHES = 250_000
"""A batch for the store has so many hashes at most: the memory that sending one takes follows from it."""

_MERGED_A_WRITE = 250_000
"""Hashes after which a write merges no further, and three times what it brought: more is for the next."""
_HEAVY_ONES = 1_000_000
"""Hashes that wait in heavy parts before these are cut."""
_BYTES = 5
"""What a hash takes."""
_CONSENTS = 1000
_SPARE_PAGES = 4096
"""Of the file that may be empty, and so many at a time go where more are: each batch that was sent makes it smaller."""
WORKER = "worker "
"""What the sources that are workers begin with; a log's name has no space."""
_WORKERS = 1000

# pending.level: the place of ``merging`` that a part lies at. since: the id of the oldest of those that it was made of,
# NULL where it is its own. imports: how many lines of a log have been counted, and,
# where `source` begins with WORKER, which message of a worker was the last one.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT, level INTEGER NOT NULL, hashes INTEGER NOT NULL, pairs INTEGER NOT NULL,
    data BLOB NOT NULL, since INTEGER
);
CREATE INDEX IF NOT EXISTS pending_places ON pending (level, hashes);
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS consents (id INTEGER PRIMARY KEY AUTOINCREMENT, batch TEXT, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS revocations (mark TEXT PRIMARY KEY, time INTEGER NOT NULL, sent INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS salts (site TEXT, day TEXT, salt BLOB NOT NULL, PRIMARY KEY (site, day));
CREATE TABLE IF NOT EXISTS imports (source TEXT PRIMARY KEY, lines INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS facts_about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

# Each start of a worker makes another source; those that wrote last are enough.
_FORGET_WORKERS = """
DELETE FROM imports WHERE source GLOB :worker AND rowid NOT IN
    (SELECT rowid FROM imports WHERE source GLOB :worker ORDER BY rowid DESC LIMIT :most)
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A frozen part of the spool. ``id`` is the store's deduplication token."""

    id: str
    partial: Partial


class SpoolError(VestibuleError):
    """The spool cannot be written or read: the disk is full or broken, or the file is."""


class Spool:
    """The spool in one file. limit: bytes that it may take."""

    def __init__(self, path: Path, *, limit: int = 1 << 30) -> None:
        self._limit = limit
        self.shed = 0
        """Cells that were given up because the spool was full or damaged, since the start."""
        try:
            self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            for pragma in (
                # First: it is written into the head of a new file, which the journal's mode makes.
                "auto_vacuum = INCREMENTAL",
                "journal_mode = WAL",
                "synchronous = FULL",
                "secure_delete = ON",
            ):
                self._database.execute(f"PRAGMA {pragma}").close()
            self._database.executescript(_SCHEMA)
            if not self._all("SELECT 1 FROM pragma_table_info('pending') WHERE name = 'since'"):
                self._database.execute("ALTER TABLE pending ADD COLUMN since INTEGER").close()
            self._database.execute(
                "INSERT OR IGNORE INTO facts_about VALUES ('owner', ?)", (secrets.token_hex(8),)
            ).close()
            self.owner = str(self._one("SELECT value FROM facts_about WHERE name = 'owner'"))
            """What tells this spool from others that feed the same store."""
            with contextlib.suppress(sqlite3.Error):  # a full disk must not keep it from being read
                _forget_workers(self._database)
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"{path}: {error}") from None

    def close(self) -> None:
        self._database.close()

    # - counting

    def append(self, partial: Partial, reached: Mapping[str, int] = MappingProxyType({})) -> int:
        """Write a partial; it is on disk when this returns. Returns how many hashes wait now.

        reached: by source how far it has been counted with this, and with what was written before.
        """
        if not len(partial) and not reached:
            return self.waiting
        with self._transaction() as database:
            if len(partial):
                _put(database, partial, ROOT)
            for row in reached.items():
                database.execute("INSERT OR REPLACE INTO imports (source, lines) VALUES (?, ?)", row).close()
        waiting = 0
        # It is written: what goes wrong with the rest, of whatever kind, may not have it written once more.
        with contextlib.suppress(Exception):
            self._merge(len(partial.hashes))
            if self.size > self._limit:
                self._shed()
            waiting = self.waiting
        return waiting

    def freeze(self) -> Batch | None:
        """Return the batch to be sent: the one that was frozen before, else a new one from what is waiting."""
        while found := self._all("SELECT id, data FROM batches ORDER BY rowid LIMIT 1"):
            try:
                return Batch(found[0][0], Partial.from_bytes(found[0][1]))
            except ValueError:
                # Of another version, or damaged: it must not stand in the way of all that comes after it.
                self.shed += 1
                self.sent(found[0][0])
        chosen: list[int] = []
        total = 0
        # Those of a place together, for they are of the same cells.
        for number, hashes in self._all("SELECT id, hashes FROM pending ORDER BY level DESC, id"):
            if chosen and total + hashes > MAX_HASHES:
                break
            chosen.append(number)
            total += hashes
        if not chosen:
            return None
        parts = merge([self._pending(number) for number in chosen]).split(MAX_HASHES)
        batches = [Batch(f"{self.owner}-{secrets.token_hex(8)}", part) for part in parts]
        with self._transaction() as database:
            for batch in batches:
                database.execute("INSERT INTO batches VALUES (?, ?)", (batch.id, batch.partial.to_bytes()))
            _drop(database, chosen)
        return batches[0] if batches else self.freeze()

    def sent(self, batch: str) -> None:
        """Forget a batch that the store has."""
        with self._transaction() as database:
            database.execute("DELETE FROM batches WHERE id = ?", (batch,))
            _forget_workers(database)
        # It is forgotten: that the file cannot be made smaller now is no fault of what was sent.
        with contextlib.suppress(sqlite3.Error, SpoolError):
            if int(self._one("PRAGMA freelist_count") or 0) > _SPARE_PAGES:
                # As a script: else it ends with the first page, for it has no rows to be asked for.
                self._database.executescript(f"PRAGMA incremental_vacuum({_SPARE_PAGES})")

    # - what was counted

    def reached(self, source: str) -> int:
        """How far a source has been counted: lines of a log, messages of a worker; 0 for one that is not known."""
        return int(self._one("SELECT lines FROM imports WHERE source = ?", source) or 0)

    # - consent records

    def add_consent(self, *records: Mapping[str, Any]) -> None:
        """Write consent records, all or none; they are on disk when this returns."""
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO consents (record) VALUES (?)", [(json.dumps(dict(record)),) for record in records]
            )

    def freeze_consents(self) -> tuple[str, list[dict[str, Any]]] | None:
        """Return a batch id and its consent records, as ``freeze`` does for cells."""
        batch = self._one("SELECT batch FROM consents WHERE batch IS NOT NULL ORDER BY id LIMIT 1")
        if batch is None:
            batch = f"{self.owner}-{secrets.token_hex(8)}"
            with self._transaction() as database:
                database.execute(
                    "UPDATE consents SET batch = ? WHERE id IN (SELECT id FROM consents ORDER BY id LIMIT ?)",
                    (batch, _CONSENTS),
                )
        rows = self._all("SELECT record FROM consents WHERE batch = ? ORDER BY id", batch)
        return (str(batch), [json.loads(record) for (record,) in rows]) if rows else None

    def consents_sent(self, batch: str) -> None:
        with self._transaction() as database:
            database.execute("DELETE FROM consents WHERE batch = ?", (batch,))

    # - revocations

    def add_revocations(self, rows: Iterable[Revocation], *, sent: bool = False) -> list[Revocation]:
        """Write revocations; they are on disk when this returns. Returns those that were not known yet.

        sent: the store has them already.
        """
        fresh = []
        for mark, time in rows:
            known = self._one("SELECT time FROM revocations WHERE mark = ?", mark)
            if known is None or known < time:
                fresh.append(Revocation(mark, time))
        if fresh:
            with self._transaction() as database:
                database.executemany(
                    "INSERT OR REPLACE INTO revocations VALUES (?, ?, ?)", [(*row, int(sent)) for row in fresh]
                ).close()
        return fresh

    def revocations(self, after: int, limit: int) -> tuple[int, list[Revocation]]:
        """The newest revocations later than ``after`` (milliseconds since the epoch), the oldest of them first, and the
        floor: until then whatever was signed in is over."""
        rows = self._all(
            "SELECT mark, time FROM revocations WHERE time > ? ORDER BY time DESC LIMIT ?", after, limit + 1
        )
        floor = int(self._one("SELECT value FROM facts_about WHERE name = 'revoked_until'") or 0)
        if len(rows) > limit:
            floor = max(floor, rows.pop()[1])
        return floor, [Revocation(*row) for row in reversed(rows)]

    def unsent_revocations(self, limit: int) -> list[Revocation]:
        """Revocations that the store has not got."""
        rows = self._all("SELECT mark, time FROM revocations WHERE NOT sent ORDER BY time LIMIT ?", limit)
        return [Revocation(*row) for row in rows]

    def revocations_sent(self, rows: Iterable[Revocation]) -> None:
        with self._transaction() as database:
            database.executemany("UPDATE revocations SET sent = 1 WHERE mark = ? AND time = ?", list(rows)).close()

    def trim_revocations(self, until: int, limit: int) -> None:
        """Forget revocations until then, and beyond ``limit`` the oldest: these raise the floor."""
        with self._transaction() as database:
            database.execute("DELETE FROM revocations WHERE time <= ?", (until,)).close()
        oldest = self._one("SELECT time FROM revocations ORDER BY time DESC LIMIT 1 OFFSET ?", limit)
        if oldest is not None:
            with self._transaction() as database:
                row = ("revoked_until", str(oldest))
                database.execute("INSERT OR REPLACE INTO facts_about VALUES (?, ?)", row).close()
                database.execute("DELETE FROM revocations WHERE time <= ?", (oldest,)).close()

    # - salts

    def salt(self, site: str, day: str) -> bytes | None:
        """The day's salt as this process knows it, for a restart while the store is away."""
        found = self._one("SELECT salt FROM salts WHERE site = ? AND day = ?", site, day)
        return None if found is None else bytes(found)

    def keep_salt(self, site: str, day: str, salt: bytes) -> None:
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO salts VALUES (?, ?, ?)", (site, day, salt))

    def forget_salt(self, site: str, day: str) -> None:
        """Remove a salt, from the write-ahead log too."""
        with self._transaction() as database:
            database.execute("DELETE FROM salts WHERE site = ? AND day = ?", (site, day))
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")

    def salts(self) -> list[tuple[str, str]]:
        """The sites and days whose salts are kept."""
        return [(site, day) for site, day in self._all("SELECT site, day FROM salts")]

    # - figures

    @property
    def size(self) -> int:
        """Bytes that what waits takes."""
        pages = int(self._one("PRAGMA page_count") or 0) - int(self._one("PRAGMA freelist_count") or 0)
        return pages * int(self._one("PRAGMA page_size") or 0)

    @property
    def waiting(self) -> int:
        """Hashes that wait for the store, and so roughly how far it is behind."""
        return int(self._one("SELECT coalesce(sum(hashes), 0) FROM pending") or 0)

    # - inside

    def _merge(self, brought: int) -> None:
        """Merge and cut parts, one step after the other, until there is nothing to do or it is enough for a write that
        brought so many hashes."""
        # A rush is met by the disk, as long as that has room: counting takes all there is.
        waiting = _HEAVY_ONES if brought < HEAVY else max(_HEAVY_ONES, self._limit // 4 // _BYTES)
        left = max(_MERGED_A_WRITE, 3 * brought)
        while left > 0:
            rows = self._all("SELECT level, hashes, id FROM pending ORDER BY level")
            parts = due((Part(*row) for row in rows), waiting)
            if not parts:
                return
            left -= sum(part.hashes for part in parts)
            self._step([part.id for part in parts], parts[0].place)

    def _step(self, numbers: list[int], place: int) -> None:
        whole = merge([self._pending(number) for number in numbers])
        pieces = {place: whole}
        if len(numbers) == 1:
            pieces = {below(place, way): piece for way, piece in enumerate(whole.scatter(depth(place)))}
        since = min(self._since(number) for number in numbers)
        with self._transaction() as database:
            _drop(database, numbers)
            for where, piece in pieces.items():
                if len(piece):
                    _put(database, piece, where, since)

    def _shed(self) -> None:
        """Give up pairs, of the parts with the oldest first, and only then whole partials, until there is a tenth to
        spare."""
        while self.size > self._limit * 9 // 10:
            found = self._all("SELECT id, level FROM pending WHERE pairs > 0 ORDER BY coalesce(since, id), id LIMIT 1")
            if found:
                number, level = found[0]
                partial = self._pending(number)
                singles = partial.singles()
                self.shed += len(partial) - len(singles)
                since = self._since(number)
                with self._transaction() as database:
                    _drop(database, [number])
                    _put(database, singles, level, since)
                continue
            number = self._one("SELECT id FROM pending ORDER BY coalesce(since, id), id LIMIT 1")
            if number is None:
                return
            self.shed += len(self._pending(number))
            with self._transaction() as database:
                _drop(database, [number])

    def _since(self, number: int) -> int:
        return int(self._one("SELECT coalesce(since, id) FROM pending WHERE id = ?", number))

    def _pending(self, number: int) -> Partial:
        try:
            return Partial.from_bytes(self._one("SELECT data FROM pending WHERE id = ?", number))
        except ValueError:
            self.shed += 1
            return empty()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)

    def _all(self, sql: str, *parameters: Any) -> list[Any]:
        try:
            with closing(self._database.execute(sql, parameters)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise SpoolError(f"spool: {error}") from None

    def _one(self, sql: str, *parameters: Any) -> Any:
        rows = self._all(sql, *parameters)
        return rows[0][0] if rows else None


class _Transaction:
    """All or nothing; on disk when it ends."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._database.execute("BEGIN IMMEDIATE").close()
        except sqlite3.Error as error:
            raise SpoolError(f"spool: {error}") from None
        return self._database

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        failure = error if isinstance(error, sqlite3.Error) else None
        try:
            if error is None:
                self._database.execute("COMMIT").close()
        except sqlite3.Error as refused:
            failure = refused
        with contextlib.suppress(sqlite3.Error):
            # A full disk has SQLite roll back by itself.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK").close()
        if failure is not None:
            raise SpoolError(f"spool: {failure}") from None


def _put(database: sqlite3.Connection, partial: Partial, level: int, since: int | None = None) -> None:
    row = (level, len(partial.hashes), partial.pairs, partial.to_bytes(), since)
    database.execute("INSERT INTO pending (level, hashes, pairs, data, since) VALUES (?, ?, ?, ?, ?)", row).close()


def _forget_workers(database: sqlite3.Connection) -> None:
    database.execute(_FORGET_WORKERS, {"worker": f"{WORKER}*", "most": _WORKERS}).close()


def _drop(database: sqlite3.Connection, numbers: Iterable[int]) -> None:
    for number in numbers:
        database.execute("DELETE FROM pending WHERE id = ?", (number,)).close()
