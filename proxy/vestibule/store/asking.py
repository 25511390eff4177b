"""Answers questions: breakdowns and time series, from what may be told.

A *where* is a dimension and a value. It narrows to all that is below the value in its tree, or, where the value ends in
`` (others)``, to what remains of the value without its released children.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from vestibule.core.errors import StoreError
from vestibule.core.release import RARE
from vestibule.store.files import query
from vestibule.store.questions import Breakdown, Question, TimeSeries, Where

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

OTHERS = " (others)"
_FORMATS = {"minute": "%Y-%m-%dT%H:%i", "hour": "%Y-%m-%dT%H:00"}
_HOUR = "hour"


def breakdown(client: Client, question: Breakdown) -> dict[str, Any]:
    """See ``Store.breakdown``."""
    # One row more than asked for: what is too rare to be named comes first and is no row.
    asked = {**_asked(question), "by": question.by, "limit": question.limit + 1}
    where, level, limit = question.where, question.level, question.limit
    if where is None:
        if level is not None:
            asked["level"] = level
        return _breakdown(
            client.query(query("breakdown" if level is None else "breakdown_level"), asked).result_rows, limit
        )
    if level is not None:
        raise StoreError("a level cannot be asked together with a filter")
    if where[0] == question.by:
        raise StoreError(f"a breakdown by {question.by} cannot be filtered by {question.by}")
    narrowed = {**asked, **_narrowed(question.by, where)}
    rows = client.query(query("breakdown_where"), narrowed).result_rows
    answer = _breakdown(rows, limit)
    if len(rows) <= limit:
        facts, people, unsettled = client.query(query("where_total"), narrowed).result_rows[0]
        named = answer["rows"]
        answer["rare"] = {
            "count": max(facts - sum(row["count"] for row in named), 0),
            "visitors": max(people - sum(row["visitors"] for row in named), answer["rare"]["visitors"], 0),
        }
        answer["provisional"] = answer["provisional"] or bool(unsettled)
    return answer


def timeseries(client: Client, question: TimeSeries) -> dict[str, Any]:
    """See ``Store.timeseries``."""
    interval, where = question.interval, question.where
    if interval not in ("minute", "hour", "day"):
        raise StoreError("the interval must be minute, hour or day")
    asked = _asked(question)
    if where is not None and interval == "minute":
        raise StoreError("a filter can be asked by hour or day, not by minute: minutes are counted without attributes")
    if interval == "day":
        dimension, value, below = _value(where or ("", ""))
        found = client.query(
            query("timeseries_days"), {**asked, "where": dimension, "value": value, "below": below}
        ).result_rows
        points = [{"time": when, "count": facts, "visitors": people} for when, facts, people, _ in found]
        if where is None:
            points = _with_totals(client, question, points)
        return {"points": points, "provisional": any(row[3] for row in found)}
    if where is not None:
        rows = client.query(query("timeseries_hours"), {**asked, **_narrowed(_HOUR, where)}).result_rows
        points = [
            {"time": f"{day.isoformat()}T{int(hour[:2]):02}:00", "count": facts, "visitors": people}
            for day, hour, facts, people, _ in rows
            if hour[:2].isdigit()
        ]
        return {"points": points, "provisional": any(row[4] for row in rows)}
    return {"points": _totals(client, question, _FORMATS[interval]), "provisional": False}


def _asked(question: Question) -> dict[str, Any]:
    """The parameters that all questions share."""
    return {
        "site": question.site,
        "kind": question.kind,
        "start": question.start,
        "end": question.end,
        "rare": RARE,
    }


def _totals(client: Client, question: TimeSeries, form: str) -> list[dict[str, Any]]:
    zone = ZoneInfo(question.timezone)
    begin = datetime.combine(question.start, time(), zone).astimezone(UTC)
    until = datetime.combine(question.end + timedelta(days=1), time(), zone).astimezone(UTC)
    parameters = {
        **_asked(question), "start": begin, "end": until, "format": form, "timezone": question.timezone,
    }  # fmt: skip
    rows = client.query(query("timeseries"), parameters).result_rows
    return [{"time": when, "count": facts} for when, facts in rows]


def _with_totals(client: Client, question: TimeSeries, points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A day's facts from the totals, which are live, and its visitors as released."""
    visitors = {point["time"]: point["visitors"] for point in points}
    return [{**point, "visitors": visitors.get(point["time"], 0)} for point in _totals(client, question, "%Y-%m-%d")]


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
