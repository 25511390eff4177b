"""The staff's small tables, as the dashboard and the commands ask for them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vestibule.recorder.service import Recorder
from vestibule.store import Store

COMMAND = "(command line)"
"""Who the audit names where a command did it: whoever may run commands on the host."""
LONGEST_NOTE = 200
MOST_ROWS = 100_000


class Office:
    """Every method may raise StoreError."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def entries(self, table: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Return a table's rows, the newest first."""
        return await self._recorder.store.do(Store.office_entries, self._recorder.plan.site, table, limit)

    async def put(self, table: str, id_: str, row: Mapping[str, Any]) -> None:
        await self._recorder.store.do(Store.office_put, self._recorder.plan.site, table, id_, row, datetime.now(UTC))

    async def remove(self, table: str, id_: str) -> bool:
        """Return whether there was such a row."""
        if all(row["id"] != id_ for row in await self.entries(table, MOST_ROWS)):
            return False
        await self._recorder.store.do(Store.office_put, self._recorder.plan.site, table, id_, None, datetime.now(UTC))
        return True

    async def days(self) -> dict[str, Any]:
        """Return ``{"open": [ISO dates], "closed": number, "last": ISO date or ""}``."""
        return await self._recorder.store.do(Store.office_days, self._recorder.plan.site)

    async def note(self, day: str, text: str, by: str = "") -> None:
        """Note something on a day (ISO date)."""
        await self.put("annotations", secrets.token_hex(6), {"day": day, "text": text, "by": by})

    async def write_down(self, who: str, action: str, about: str) -> None:
        """Write into the audit who is about to do what."""
        row = {"time": int(datetime.now(UTC).timestamp()), "who": who, "action": action, "about": about}
        await self.put("audit", secrets.token_hex(8), row)
