"""The four small tables of the staff: notes, API tokens, shared links, and who changed what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestibule.core.errors import QuestionError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLES = ("annotations", "tokens", "shares", "audit")
_NAMES = ("site", "id", "body", "removed", "changed")


def entries(client: Client, site: str, table: str, limit: int) -> list[dict[str, Any]]:
    """Return a table's rows, the newest first, each with its ``id``."""
    found = client.query(
        f"SELECT id, body FROM {_known(table)} FINAL WHERE site = {{site:String}} AND NOT removed"  # noqa: S608
        " ORDER BY changed DESC, id LIMIT {limit:UInt32}",
        {"site": site, "limit": limit},
    ).result_rows
    return [{**json.loads(body), "id": id_} for id_, body in found]


def put(client: Client, site: str, table: str, id_: str, row: Mapping[str, Any] | None, now: datetime) -> None:
    """Write a row, or remove it where there is none to write."""
    body = "" if row is None else json.dumps(dict(row), separators=(",", ":"), sort_keys=True)
    columns: list[list[Any]] = [[site], [id_], [body], [row is None], [now]]
    client.insert(_known(table), columns, column_names=_NAMES, column_oriented=True)


def days(client: Client, site: str) -> dict[str, Any]:
    """Return ``{"open": [ISO dates], "closed": number, "last": ISO date or ""}``."""
    asked = {"site": site}
    opened = client.query("SELECT DISTINCT day FROM salts WHERE site = {site:String} ORDER BY day", asked).result_rows
    ((closed, last),) = client.query(
        "SELECT uniqExact(day), max(day) FROM closed_days WHERE site = {site:String} AND state = 'done'", asked
    ).result_rows
    return {
        "open": [day.isoformat() for (day,) in opened],
        "closed": int(closed),
        "last": last.isoformat() if closed else "",
    }


def _known(table: str) -> str:
    if table not in TABLES:
        raise QuestionError(f"store: there is no table {table}")
    return table
