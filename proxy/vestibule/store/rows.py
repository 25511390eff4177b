"""Between partials, releases and tables: which columns go in, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np

from vestibule.core.cells import Partial, Total
from vestibule.core.errors import UnstorableError
from vestibule.core.release import Row
from vestibule.store import native

Columns = list[Sequence[Any]]

_EPOCH = date(1970, 1, 1)

TOTALS = ("site", "minute", "kind", "count")
CELLS = (
    "site", "day", "kind", "a", "a_value", "b", "b_value", "part", "path", "count", "visitors", "provisional",
)  # fmt: skip


_LAST_TIME = 2**32 - 1
"""The latest ``DateTime``, in seconds since the epoch."""


def of_partial(partial: Partial) -> bytes:
    """The cells as a block for ``incoming``. A pair's path is empty: its values' paths stand with their singles.

    Raises UnstorableError where a value is none of its column's type.
    """
    try:
        return _block(partial)
    except (OverflowError, ValueError) as error:
        raise UnstorableError(f"store: cells cannot be encoded: {type(error).__name__}") from None


def _block(partial: Partial) -> bytes:
    nodes = partial.nodes
    none = len(nodes)
    first = partial.a.tolist()
    second = np.minimum(partial.b, none).tolist()
    single = np.where(partial.b >= none, partial.a, none).tolist()
    days = np.array([(date.fromisoformat(node.day) - _EPOCH).days for node in nodes], dtype=np.uint16)

    encoded: dict[str, bytes] = {}

    def texts(name: str, texts_of: Iterable[str], places: Sequence[int]) -> native.Column:
        found = [encoded.get(text) or encoded.setdefault(text, native.encoded(text)) for text in (*texts_of, "")]
        return native.Column(name, "String", native.texts(found, places))

    dimensions, values = [node.dimension for node in nodes], [node.value for node in nodes]
    columns = (
        texts("site", (node.site for node in nodes), first),
        native.Column("day", "Date", native.numbers(days[partial.a], "<u2")),
        texts("kind", (node.kind for node in nodes), first),
        texts("a", dimensions, first),
        texts("b", dimensions, second),
        texts("a_value", values, first),
        texts("b_value", values, second),
        native.Column("path", "Array(String)", native.text_arrays([*(node.path for node in nodes), ()], single)),
        native.Column("count", "UInt64", native.numbers(partial.counts, "<u8")),
        native.Column("hashes", "Array(UInt64)", native.arrays(partial.ends, native.numbers(partial.hashes, "<u8"))),
    )
    return native.block(len(partial), columns)


def of_totals(totals: Iterable[tuple[Total, int]]) -> Columns:
    """The columns of ``TOTALS``. Raises UnstorableError where a minute is no ``DateTime``."""
    rows = list(totals)
    if not all(0 <= total.minute <= _LAST_TIME for total, _ in rows):
        raise UnstorableError("store: totals cannot be encoded: a time is out of bounds")
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
