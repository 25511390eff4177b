"""How tables lie: on one server, or on all servers of a cluster. Here are all statements that make or change tables.

On a cluster every table is a pair. ``cells_local`` is replicated within its shard and holds the rows; ``cells`` is
distributed over all of them, and is what is asked and inserted into. All rows of a site's day are on one shard: so its
partition is replaced at once, and an inserted batch meets its own deduplication token again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

Settings = dict[str, Any]

_ENGINE = re.compile(r"ENGINE = (?P<engine>\w*MergeTree)(?:\((?P<arguments>[^)]*)\))?")
_TABLE = re.compile(r"CREATE TABLE (?P<name>\w+) ")
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW (?P<name>\w+) TO (?P<to>\w+) AS")
_ORDER = re.compile(r"ORDER BY \(?(\w+)")
_SPAN = re.compile(r"\b(day|month) Date\b")
_FROM = re.compile(r"\bFROM (\w+)")
_ALTER = re.compile(r"^ALTER TABLE (\w+)")
_WINDOW = re.compile(r"\bnon_replicated_(deduplication_window) = (\d+)")
_REMEMBERED = 7 * 86_400
"""Seconds for which a cluster knows a batch again: its own default of an hour is less than an outage may take."""
_LOCAL = "_local"


class Layout(Protocol):
    """Names and statements. Names of tables and clauses are ours, never a visitor's or an operator's."""

    settings: ClassVar[Settings]
    """What is set for every statement."""

    def database(self, name: str) -> str:
        """The statement that makes the database."""

    def create(self, statement: str) -> list[str]:
        """The statements that make what a shipped one makes, unless it is there."""

    def stored(self, table: str) -> str:
        """The name of the table that holds the rows."""

    def change(self, table: str, clause: str) -> str:
        """``ALTER TABLE``. A table named in the clause is one that ``stored`` named."""

    def optimize(self, table: str) -> str:
        """Merge a table, and remove what is older than it may be."""

    def copy(self, table: str, name: str) -> list[str]:
        """Make an empty table like another."""

    def drop(self, name: str) -> list[str]:
        """Remove what ``copy`` made, if it is there."""


@dataclass(frozen=True, slots=True)
class Single:
    """One server, or chDB. alone: nobody else writes to it, so that no window has to be wider than at first: what is
    remembered of batches would be in this process's memory."""

    alone: bool = False

    settings: ClassVar[Settings] = {}

    def database(self, name: str) -> str:
        return f"CREATE DATABASE IF NOT EXISTS {identifier(name)}"

    def create(self, statement: str) -> list[str]:
        if self.alone and "MODIFY SETTING" in statement and _WINDOW.search(statement):
            return []
        return [_repeatable(statement)]

    def stored(self, table: str) -> str:
        return table

    def change(self, table: str, clause: str) -> str:
        return f"ALTER TABLE {identifier(table)} {clause}"

    def optimize(self, table: str) -> str:
        return f"OPTIMIZE TABLE {identifier(table)} FINAL"

    def copy(self, table: str, name: str) -> list[str]:
        return [f"CREATE TABLE {identifier(name)} AS {identifier(table)}"]

    def drop(self, name: str) -> list[str]:
        return [f"DROP TABLE IF EXISTS {identifier(name)}"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """All servers of a cluster, as it is named in their configuration (``remote_servers``).

    They need a Keeper, and the macros ``shard`` and ``replica``, as replicated tables do anyway. schema: the database.
    """

    name: str
    schema: str

    settings: ClassVar[Settings] = {
        # A batch is on all shards that it belongs to when the insert is answered, and then on most of their replicas.
        "distributed_foreground_insert": 1,
        "insert_quorum": "auto",
        "insert_quorum_parallel": 0,
        "select_sequential_consistency": 1,
        # Rows of a day are on one shard in every table, so that each shard can look up what belongs to its own.
        "distributed_product_mode": "local",
        # A statement for all servers is answered when all are done; replicas wait for each other.
        "distributed_ddl_task_timeout": 60,
        "alter_sync": 2,
    }

    def database(self, name: str) -> str:
        return f"CREATE DATABASE IF NOT EXISTS {identifier(name)} {self._everywhere}"

    def create(self, statement: str) -> list[str]:
        view = _VIEW.match(statement)
        if view is not None:
            begin = (
                f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view['name']} {self._everywhere} TO {view['to']}{_LOCAL} AS"
            )
            return [begin + _FROM.sub(rf"FROM \1{_LOCAL}", statement[view.end() :])]
        table = _TABLE.match(statement)
        if table is None:
            return self._altered(statement)
        name = table["name"]
        begin = f"CREATE TABLE IF NOT EXISTS {name}{_LOCAL} {self._everywhere} "
        body = _ENGINE.sub(lambda found: self._replicated(name, found), statement[table.end() :])
        return [begin + _replicated_window(body), self._distributed(name, body)]

    def _altered(self, statement: str) -> list[str]:
        made = [_ALTER.sub(rf"ALTER TABLE \1{_LOCAL} {self._everywhere}", _replicated_window(statement))]
        # What is distributed has the columns too, but neither settings nor a time to live.
        return (
            [*made, _ALTER.sub(rf"ALTER TABLE \1 {self._everywhere}", statement)] if " COLUMN " in statement else made
        )

    def stored(self, table: str) -> str:
        return table + _LOCAL

    def change(self, table: str, clause: str) -> str:
        return f"ALTER TABLE {identifier(self.stored(table))} {self._everywhere} {clause}"

    def optimize(self, table: str) -> str:
        return f"OPTIMIZE TABLE {identifier(self.stored(table))} {self._everywhere} FINAL"

    def copy(self, table: str, name: str) -> list[str]:
        local = identifier(self.stored(name))
        path = f"'/clickhouse/tables/{{shard}}/{self.schema}/{self.stored(name)}', '{{replica}}'"
        return [
            f"CREATE TABLE {local} {self._everywhere} AS {identifier(self.stored(table))}"
            f" ENGINE = ReplicatedMergeTree({path}) PARTITION BY (site, day) ORDER BY (kind, a, b, a_value, b_value)",
            self._distributed(name, "day Date"),
        ]

    def drop(self, name: str) -> list[str]:
        # SYNC: its place in the Keeper is free when it is made again.
        return [
            f"DROP TABLE IF EXISTS {identifier(each)} {self._everywhere} SYNC" for each in (name, self.stored(name))
        ]

    @property
    def _everywhere(self) -> str:
        return f"ON CLUSTER {identifier(self.name)}"

    def _replicated(self, table: str, found: re.Match[str]) -> str:
        given = f", {found['arguments']}" if found["arguments"] else ""
        path = f"'/clickhouse/tables/{{shard}}/{self.schema}/{table}{_LOCAL}', '{{replica}}'"
        return f"ENGINE = Replicated{found['engine']}({path}{given})"

    def _distributed(self, table: str, columns: str) -> str:
        """What belongs to one day, or month, is on one shard; of other tables what has the same first column of the
        order."""
        order = _ORDER.search(columns)
        span = _SPAN.search(columns)
        key = f"site, {span[1]}" if span else order[1] if order else "site"
        local = identifier(table + _LOCAL)
        return (
            f"CREATE TABLE IF NOT EXISTS {identifier(table)} {self._everywhere} AS {local}"
            f" ENGINE = Distributed({identifier(self.name)}, {identifier(self.schema)}, {local}, cityHash64({key}))"
        )


def identifier(name: str) -> str:
    """Quote an identifier for SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """Quote a text for SQL, where parameters can't be used (in ALTER … PARTITION)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _replicated_window(statement: str) -> str:
    return _WINDOW.sub(rf"replicated_\1 = \2, replicated_\1_seconds = {_REMEMBERED}", statement)


def _repeatable(statement: str) -> str:
    for kind in ("TABLE", "MATERIALIZED VIEW"):
        statement = statement.replace(f"CREATE {kind} ", f"CREATE {kind} IF NOT EXISTS ", 1)
    return statement
