"""Between partials, releases and tables: which columns go in, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from vestibule.core.cells import Partial, Total
from vestibule.core.release import Row

Columns = list[Sequence[Any]]

INCOMING = ("site", "day", "kind", "a", "b", "a_value", "b_value", "path", "count", "hashes")
TOTALS = ("site", "minute", "kind", "count")
CELLS = (
    "site", "day", "kind", "a", "a_value", "b", "b_value", "part", "path", "count", "visitors", "provisional",
)  # fmt: skip


def of_partial(partial: Partial) -> Columns:
    """The columns of ``INCOMING``. A pair's path is empty: the paths of its values stand with their singles."""
    nodes = (*partial.nodes, None)
    first = [partial.nodes[place] for place in partial.a.tolist()]
    second = [nodes[min(place, len(partial.nodes))] for place in partial.b.tolist()]
    days = {node.day: date.fromisoformat(node.day) for node in partial.nodes}
    hashes = partial.hashes.tolist()
    starts = [0, *partial.ends.tolist()]
    return [
        [node.site for node in first],
        [days[node.day] for node in first],
        [node.kind for node in first],
        [node.dimension for node in first],
        ["" if node is None else node.dimension for node in second],
        [node.value for node in first],
        ["" if node is None else node.value for node in second],
        [a.path if b is None else () for a, b in zip(first, second, strict=True)],
        partial.counts.tolist(),
        [hashes[start:end] for start, end in pairwise(starts)],
    ]


def of_totals(totals: Iterable[tuple[Total, int]]) -> Columns:
    """The columns of ``TOTALS``."""
    rows = list(totals)
    return [
        [total.site for total, _ in rows],
        [total.minute for total, _ in rows],
        [total.kind for total, _ in rows],
        [count for _, count in rows],
    ]


def of_release(site: str, day: date, rows: Sequence[Row], provisional: bool) -> Columns:
    """The columns of ``CELLS``."""
    number = len(rows)
    return [
        [site] * number,
        [day] * number,
        [row.kind for row in rows],
        [row.a for row in rows],
        [row.a_value for row in rows],
        [row.b for row in rows],
        [row.b_value for row in rows],
        [row.part.value for row in rows],
        [row.path for row in rows],
        [row.count for row in rows],
        [row.visitors for row in rows],
        [provisional] * number,
    ]
