"""Statements for one server and for a cluster: as they are written down, and as the engine's own parser reads them."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path

import pytest

from vestibule.recorder.days import GRACE
from vestibule.recorder.service import SHIP_EVERY
from vestibule.store import files
from vestibule.store.engine import layout_of
from vestibule.store.layout import Cluster, Layout, Single, identifier
from vestibule.store.migrating import VERSIONS
from vestibule.store.releasing import partition

CASES = Path(__file__).parent / "cases" / "cluster.sql"
CLUSTER = Cluster("main", "vestibule")


def statements(layout: Layout) -> list[str]:
    """All that is ever made or changed, in the order in which it happens."""
    made = [layout.database("vestibule")]
    for statement in (VERSIONS, *(each for _, _, found in files.migrations() for each in found)):
        made += layout.create(statement)
    day = partition("relaso.com", date(2026, 11, 22))
    made.append(layout.change("cells", "MODIFY TTL day + toIntervalSecond(3456000)"))
    for staging in ("staging_o", "staging_o_known"):
        made += [*layout.drop(staging), *layout.copy("cells", staging)]
    made.append(layout.change("cells", f"REPLACE PARTITION {day} FROM {identifier(layout.stored('staging_o'))}"))
    made += [layout.change(table, f"DROP PARTITION {day}") for table in ("open_cells", "salts", "cells")]
    made.append(layout.change("archive_months", "DROP PARTITION ('relaso.com', '2026-10-01', 31)"))
    return [*made, *layout.drop("staging_o"), *layout.drop("staging_o_known"), layout.optimize("cells")]


def test_what_a_cluster_is_told() -> None:
    """The file is what was read and thought about; `UPDATE_CASES=1` writes it anew."""
    text = ";\n\n".join(statements(CLUSTER)) + ";\n"
    if os.environ.get("UPDATE_CASES"):
        CASES.write_text(text, "utf-8")
    assert CASES.read_text("utf-8") == text


@pytest.mark.parametrize("layout", [Single(), Single(alone=True), CLUSTER], ids=["single", "embedded", "cluster"])
def test_the_engine_s_parser_reads_every_statement(layout: Layout) -> None:
    chdb = pytest.importorskip("chdb", reason='the extra "embedded" is not installed')
    for statement in statements(layout):
        assert chdb.query(f"EXPLAIN AST {statement}").bytes(), statement


def test_every_table_of_a_cluster_is_a_replicated_one_and_one_over_all_shards() -> None:
    made = statements(CLUSTER)
    tables = {
        statement.split()[2]
        for statement in (VERSIONS, *(each for _, _, found in files.migrations() for each in found))
        if statement.startswith("CREATE TABLE")
    }
    assert len(tables) > 8
    for table in tables:
        local = [
            each for each in made if each.startswith(f"CREATE TABLE IF NOT EXISTS {table}_local ON CLUSTER `main`")
        ]
        over = [each for each in made if each.startswith(f"CREATE TABLE IF NOT EXISTS `{table}` ON CLUSTER `main`")]
        assert len(local) == len(over) == 1, table
        assert "ENGINE = Replicated" in local[0] or "ENGINE = Null" in local[0]
        assert f"Distributed(`main`, `vestibule`, `{table}_local`, " in over[0]
    assert not [each for each in made if "non_replicated" in each]


def test_all_rows_of_a_day_are_on_one_shard() -> None:
    """A partition is replaced at once, and a repeated batch meets its own token again."""
    for table in (
        "incoming",
        "open_cells",
        "cells",
        "archive",
        "archived_days",
        "salts",
        "closed_days",
        "staging_o",
        "staging_o_known",
    ):
        (over,) = [each for each in statements(CLUSTER) if each.startswith(f"CREATE TABLE IF NOT EXISTS `{table}` ")]
        assert over.endswith("cityHash64(site, day))")
    for table in ("archive_months", "archived_months"):
        (over,) = [each for each in statements(CLUSTER) if each.startswith(f"CREATE TABLE IF NOT EXISTS `{table}` ")]
        assert over.endswith("cityHash64(site, month))")


@pytest.mark.parametrize(
    ("dsn", "layout"),
    [
        ("chdb:///var/lib/vestibule", Single(alone=True)),
        ("clickhouse://u:p@h:8443/v?secure=true", Single()),
        ("clickhouse://u:p@h:8443/v?secure=true&cluster=main", Cluster("main", "v")),
        ("clickhouse://u:p@h/?cluster=it%27s%20%60one%60", Cluster("it's `one`", "vestibule")),
    ],
)
def test_the_store_s_address_says_which(dsn: str, layout: Layout) -> None:
    assert layout_of(dsn) == layout
    for statement in layout.drop("x"):
        assert "`one`" not in statement.replace("\\`", "")


WINDOW = re.compile(r"(\w+_deduplication_window\w*) = (\d+)")
ALTERED = re.compile(r"ALTER TABLE (\w+?)(?:_local ON CLUSTER `main`)? MODIFY SETTING .*window")


def windows(layout: Layout) -> dict[str, dict[str, int]]:
    """By table, how many blocks it remembers in the end, and for how long."""
    found: dict[str, dict[str, int]] = {}
    for statement in statements(layout):
        table = ALTERED.match(statement) or re.match(r"CREATE TABLE IF NOT EXISTS (\w+?)(?:_local)? ", statement)
        if table and WINDOW.search(statement):
            found.setdefault(table[1], {}).update({name: int(number) for name, number in WINDOW.findall(statement)})
    return found


def test_a_batch_is_known_again_as_long_as_it_may_be_sent_again() -> None:
    """Ten recorders send one each time, and a day is open for 24 hours and the grace after it."""
    blocks = 10 * (86_400 + GRACE.total_seconds()) / SHIP_EVERY
    single, cluster = windows(Single()), windows(CLUSTER)
    assert single.keys() == cluster.keys() > {"open_cells", "totals", "consent_records", "closed_days", "archive"}
    for table, remembered in single.items():
        window = remembered.pop("non_replicated_deduplication_window")
        assert window >= (blocks if table in ("open_cells", "totals") else 10_000)
        assert remembered == {}
        assert cluster[table] == {
            "replicated_deduplication_window": window,
            "replicated_deduplication_window_seconds": 7 * 86_400,
        }


def test_a_cluster_that_was_made_before_is_told_the_time_too() -> None:
    altered = {found[1] for each in statements(CLUSTER) if (found := ALTERED.match(each)) and "_seconds = " in each}
    assert altered == windows(CLUSTER).keys()


def test_where_nobody_else_writes_the_windows_stay_as_they_are() -> None:
    """What is remembered would be in the recorder's own memory."""
    assert windows(Single(alone=True)) == {
        table: {"non_replicated_deduplication_window": 10_000} for table in windows(Single())
    }


def test_inserts_wait_for_the_shards_and_a_majority_of_replicas() -> None:
    assert CLUSTER.settings["distributed_foreground_insert"] == 1
    assert CLUSTER.settings["insert_quorum"] == "auto"
    assert Single().settings == {}


def test_columns_are_added_to_both_tables_and_settings_to_one() -> None:
    assert CLUSTER.create("ALTER TABLE users ADD COLUMN IF NOT EXISTS x String") == [
        "ALTER TABLE users_local ON CLUSTER `main` ADD COLUMN IF NOT EXISTS x String",
        "ALTER TABLE users ON CLUSTER `main` ADD COLUMN IF NOT EXISTS x String",
    ]
    assert CLUSTER.create("ALTER TABLE users MODIFY SETTING merge_with_ttl_timeout = 1") == [
        "ALTER TABLE users_local ON CLUSTER `main` MODIFY SETTING merge_with_ttl_timeout = 1"
    ]
