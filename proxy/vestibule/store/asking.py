"""Answers questions: breakdowns and time series, from what may be told.

A *where* is a dimension and a value. It narrows to all that is below the value in its tree, or, where the value ends in
`` (others)``, to what remains of the value without its released children.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from vestibule.core.errors import StoreError
from vestibule.core.release import RARE
from vestibule.store.files import query

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Where = tuple[str, str]

OTHERS = " (others)"
_FORMATS = {"minute": "%Y-%m-%dT%H:%i", "hour": "%Y-%m-%dT%H:00"}
_HOUR = "hour"


def breakdown(
    client: Client,
    *,
    site: str,
    kind: str,
    by: str,
    start: date,
    end: date,
    where: Where | None = None,
    limit: int = 100,
    level: int | None = None,
) -> dict[str, Any]:
    """See ``Store.breakdown``."""
    asked: dict[str, Any] = {"site": site, "kind": kind, "by": by, "start": start, "end": end, "rare": RARE}
    # One row more than asked for: what is too rare to be named comes first and is no row.
    asked["limit"] = limit + 1
    if where is None:
        if level is not None:
            asked["level"] = level
        return _breakdown(
            client.query(query("breakdown" if level is None else "breakdown_level"), asked).result_rows, limit
        )
    if level is not None:
        raise StoreError("a level cannot be asked together with a filter")
    if where[0] == by:
        raise StoreError(f"a breakdown by {by} cannot be filtered by {by}")
    rows = client.query(query("breakdown_where"), {**asked, **_narrowed(by, where)}).result_rows
    answer = _breakdown(rows, limit)
    if len(rows) <= limit:
        total = client.query(query("where_total"), {**asked, **_narrowed(by, where)}).result_rows
        facts, people, unsettled = total[0]
        named = answer["rows"]
        answer["rare"] = {
            "count": max(facts - sum(row["count"] for row in named), 0),
            "visitors": max(people - sum(row["visitors"] for row in named), answer["rare"]["visitors"], 0),
        }
        answer["provisional"] = answer["provisional"] or bool(unsettled)
    return answer


def timeseries(
    client: Client,
    *,
    site: str,
    kind: str,
    interval: str,
    start: date,
    end: date,
    timezone: str,
    where: Where | None = None,
) -> dict[str, Any]:
    """See ``Store.timeseries``."""
    if interval not in ("minute", "hour", "day"):
        raise StoreError("the interval must be minute, hour or day")
    asked: dict[str, Any] = {"site": site, "kind": kind, "start": start, "end": end, "rare": RARE}
    if where is not None and interval == "minute":
        raise StoreError("a filter can be asked by hour or day, not by minute: minutes are counted without attributes")
    if interval == "day":
        dimension, value, below = _value(where or ("", ""))
        found = client.query(
            query("timeseries_days"), {**asked, "where": dimension, "value": value, "below": below}
        ).result_rows
        points = [{"time": when, "count": facts, "visitors": people} for when, facts, people, _ in found]
        if where is None:
            points = _with_totals(client, asked, timezone, points)
        return {"points": points, "provisional": any(row[3] for row in found)}
    if where is not None:
        rows = client.query(query("timeseries_hours"), {**asked, **_narrowed(_HOUR, where)}).result_rows
        points = [
            {"time": f"{day.isoformat()}T{int(hour[:2]):02}:00", "count": facts, "visitors": people}
            for day, hour, facts, people, _ in rows
            if hour[:2].isdigit()
        ]
        return {"points": points, "provisional": any(row[4] for row in rows)}
    return {"points": _totals(client, asked, timezone, _FORMATS[interval]), "provisional": False}


def _totals(client: Client, asked: dict[str, Any], timezone: str, form: str) -> list[dict[str, Any]]:
    zone = ZoneInfo(timezone)
    begin = datetime.combine(asked["start"], time(), zone).astimezone(UTC)
    until = datetime.combine(asked["end"] + timedelta(days=1), time(), zone).astimezone(UTC)
    parameters = {**asked, "start": begin, "end": until, "format": form, "timezone": timezone}
    rows = client.query(query("timeseries"), parameters).result_rows
    return [{"time": when, "count": facts} for when, facts in rows]


def _with_totals(
    client: Client, asked: dict[str, Any], timezone: str, points: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A day's facts from the totals, which are live, and its visitors as released."""
    visitors = {point["time"]: point["visitors"] for point in points}
    return [
        {**point, "visitors": visitors.get(point["time"], 0)} for point in _totals(client, asked, timezone, "%Y-%m-%d")
    ]


def _breakdown(rows: Sequence[Sequence[Any]], limit: int) -> dict[str, Any]:
    rare = [row for row in rows if row[0] == RARE]
    named = [row for row in rows if row[0] != RARE][:limit]
    return {
        "rows": [
            {"value": f"{value}{OTHERS}" if others else value, "count": facts, "visitors": people}
            for value, others, facts, people, _ in named
        ],
        "rare": {"count": sum(row[2] for row in rare), "visitors": sum(row[3] for row in rare)},
        "provisional": any(row[4] for row in rows),
    }


def _value(where: Where) -> tuple[str, str, bool]:
    """Return the dimension, the value, and whether what is below it is meant too."""
    dimension, value = where
    if value.endswith(OTHERS):
        return dimension, value.removesuffix(OTHERS), False
    return dimension, value, True


def _narrowed(by: str, where: Where) -> dict[str, Any]:
    """Say which columns of a pair are asked for and which are given: the dimensions stand in alphabetical order."""
    dimension, value, below = _value(where)
    by_first = by < dimension
    return {
        "a": by if by_first else dimension,
        "b": dimension if by_first else by,
        "by_value": "a_value" if by_first else "b_value",
        "where_value": "b_value" if by_first else "a_value",
        "where": dimension,
        "value": value,
        "below": below,
    }
