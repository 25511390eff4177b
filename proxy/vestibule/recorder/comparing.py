"""Puts an earlier period beside what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from vestibule.store import Breakdown, Question

Asked = TypeVar("Asked", bound=Question)

PERIODS = ("previous", "year")
"""Just before, of the same length; or 52 weeks before."""

MOST = 10_000
"""Rows of the earlier period that are looked through."""


def earlier(question: Asked, period: str) -> Asked:
    """The question of the earlier period: all its rows, since those asked for may have been small then."""
    before = question.earlier(year=period == "year")
    return replace(before, limit=MOST) if isinstance(before, Breakdown) else before


def beside(answer: Mapping[str, Any], before: Mapping[str, Any], question: Question) -> dict[str, Any]:
    """Return an answer with ``compared``: the earlier period's days, and of time series its points. Rows of a breakdown
    get ``before``; where a value was not told then, it is None, since it may have been too rare."""
    compared = {
        "from": question.start.isoformat(),
        "to": question.end.isoformat(),
        "provisional": before["provisional"],
    }
    if "points" in answer:
        return {**answer, "compared": {**compared, "points": before["points"]}}
    then = {row["value"]: {"count": row["count"], "visitors": row["visitors"]} for row in before["rows"]}
    rows = [{**row, "before": then.get(row["value"])} for row in answer["rows"]]
    return {**answer, "rows": rows, "compared": {**compared, "rare": before["rare"]}}
