"""Everything at once: every kind by day and by each of its dimensions, and every panel, in one archive."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vestibule.dashboard.asking import Asking
from vestibule.dashboard.dimensions import KINDS
from vestibule.dashboard.panels import PANELS
from vestibule.dashboard.periods import Period
from vestibule.dashboard.sheets import RowsOf, breakdown_rows, day_rows, to_csv


@dataclass(frozen=True, slots=True)
class File:
    """A file of the archive. name: without what comes after its point."""

    name: str
    rows: RowsOf
    answer: Mapping[str, Any]

    def text(self, form: str) -> str:
        """form: csv or json."""
        return to_csv(self.rows(self.answer)) if form == "csv" else json.dumps(self.answer, ensure_ascii=False)


async def files(asking: Asking, period: Period, limit: int) -> list[File] | None:
    """What is in the archive, or None where the store fails. limit: rows of each file at most."""
    wanted: list[tuple[str, RowsOf, Awaitable[Mapping[str, Any] | None]]] = []
    for kind, dimensions in KINDS.items():
        wanted.append((f"{kind}-by-day", day_rows, asking.timeseries(kind, "day", period)))
        for by in dimensions:
            asked = asking.breakdown(kind, by, period, limit=limit)
            wanted.append((f"{kind}-by-{by}", breakdown_rows, asked))
    for panel in PANELS:
        for tab in panel.tabs:
            if tab.level is None and tab.within is None:
                continue
            asked = asking.breakdown(tab.kind, tab.by, period, where=tab.within, level=tab.level, limit=limit)
            wanted.append((f"{panel.id}/{tab.id}", breakdown_rows, asked))
    answers = await asyncio.gather(*(asked for _, _, asked in wanted))
    found = [
        File(name, rows, answer) for (name, rows, _), answer in zip(wanted, answers, strict=True) if answer is not None
    ]
    return found if len(found) == len(wanted) else None


def pack(files: Iterable[File], form: str) -> bytes:
    """Return a ZIP archive. form: of the files, csv or json."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            # No time of day: equal numbers are equal bytes.
            info = zipfile.ZipInfo(f"{file.name}.{form}", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, file.text(form), zipfile.ZIP_DEFLATED)
    return out.getvalue()
