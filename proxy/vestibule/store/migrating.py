"""Brings the tables to the version that this code needs: forward only, and safe to run from several places at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestibule.core.errors import StoreError
from vestibule.store import files
from vestibule.store.layout import Layout

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

VERSIONS = """CREATE TABLE schema_migrations (number UInt32, name String, time DateTime('UTC') DEFAULT now())
ENGINE = MergeTree ORDER BY number"""


def migrate(client: Client, layout: Layout) -> list[str]:
    """Apply what is missing; return the names of what was applied.

    Each statement may be repeated, for a migration that was cut short or that two processes apply at the same time.
    """
    for statement in layout.create(VERSIONS):
        client.command(statement)
    present = {number for (number,) in client.query("SELECT DISTINCT number FROM schema_migrations").result_rows}
    shipped = files.migrations()
    newer = present - {number for number, _, _ in shipped}
    if newer:
        raise StoreError(
            f"store: it was written by a newer version of Vestibule (schema {max(newer)}); install that or newer"
        )
    applied = []
    for number, name, statements in shipped:
        if number in present:
            continue
        for statement in statements:
            for each in layout.create(statement):
                client.command(each)
        client.insert("schema_migrations", [[number, name]], column_names=["number", "name"])
        applied.append(name)
    return applied
