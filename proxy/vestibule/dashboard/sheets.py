"""Answers as CSV (RFC 4180), which spreadsheets open and take for no formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vestibule.dashboard.values import RARE

RowsOf = Callable[[Mapping[str, Any]], Iterable[Sequence[object]]]
"""What makes the rows of a CSV file of an answer, its head first."""


def breakdown_rows(answer: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    yield "value", "count", "visitors"
    for row in answer["rows"]:
        yield row["value"], row["count"], row["visitors"]
    if answer["rare"]["count"]:
        yield RARE, answer["rare"]["count"], answer["rare"]["visitors"]


def timeseries_rows(answer: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    yield "time", "count"
    for point in answer["points"]:
        yield point["time"], point["count"]


def day_rows(answer: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    """Of days the visitors are known, too."""
    yield "time", "count", "visitors"
    for point in answer["points"]:
        yield point["time"], point["count"], point.get("visitors", 0)


def to_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return CSV (RFC 4180) that no spreadsheet takes for formulas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([neutral(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return out.getvalue()


def neutral(cell: str) -> str:
    """Return a cell with an apostrophe in front where a spreadsheet would read a formula, also behind white space and
    as full-width signs."""
    first = cell.lstrip()[:1]
    if (first in _FORMULA and first) or cell[:1] in ("\t", "\r", "\n"):
        return f"'{cell}"
    return cell


_FORMULA = "=+-@＝＋－＠|%"
