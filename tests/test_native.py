"""ClickHouse's Native format as the engine itself writes it, and as nobody should."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.store import Store, native, open_store

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store: Store = open_store(f"chdb://{tmp_path_factory.mktemp('native')}")
    yield store._client
    store.close()


def ask(client: Client, sql: str, **settings: int) -> bytes:
    answer: bytes = client.raw_query(sql, fmt="Native", settings=settings)
    return answer


def rows(data: bytes) -> list[tuple[list[str], list[int]]]:
    found = []
    for block in native.read(data):
        texts = [[column.names[place] for place in column.places.tolist()] for column in block.texts]
        numbers = [column.tolist() for column in block.numbers]
        found += [([*row[: len(texts)]], [*row[len(texts) :]]) for row in zip(*texts, *numbers, strict=True)]
    return found


@pytest.mark.parametrize("number", [0, 1, 300, 70_000])
def test_what_the_engine_writes_is_read(client: Client, number: int) -> None:
    """One text and very many, short and long ones, in one block and in several."""
    sql = (
        "SELECT toLowCardinality(toString(number)), toLowCardinality(repeat('ä', number % 150)), number * 3, number"
        f" FROM numbers({number})"
    )
    wanted = [([str(each), "ä" * (each % 150)], [each * 3, each]) for each in range(number)]
    assert sorted(rows(ask(client, sql, max_block_size=30_000)), key=lambda row: row[1]) == wanted


@pytest.mark.parametrize(
    "sql", ["SELECT 'text'", "SELECT toUInt32(1)", "SELECT toLowCardinality(toNullable('a'))", "SELECT [toUInt64(1)]"]
)
def test_other_types_are_refused(client: Client, sql: str) -> None:
    with pytest.raises(ValueError, match="a column of type"):
        list(native.read(ask(client, sql)))


@given(st.data())
def test_what_is_cut_short_or_damaged_is_said_so_or_is_something_else(client: Client, data: st.DataObject) -> None:
    whole = ask(client, "SELECT toLowCardinality(toString(number % 9)), number FROM numbers(40)")
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(ValueError, match=r"cut short|a column of"):
        list(native.read(cut))
    place, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        rows(whole[:place] + bytes((byte,)) + whole[place + 1 :])


def test_written_texts_and_arrays_are_read_by_the_engine(client: Client, tmp_path: Path) -> None:
    texts = [native.encoded(text) for text in ("", "a", "ü" * 100)]
    columns = [
        native.Column("text", "String", native.texts(texts, [2, 0, 1])),
        native.Column("path", "Array(String)", native.text_arrays([(), ("a", "b" * 200)], [1, 0, 1])),
    ]
    client.command("CREATE TABLE written (text String, path Array(String)) ENGINE Memory")
    client.raw_insert("written", insert_block=native.block(3, columns), fmt="Native")
    assert client.query("SELECT * FROM written").result_rows == [
        ("ü" * 100, ["a", "b" * 200]),
        ("", []),
        ("a", ["a", "b" * 200]),
    ]
