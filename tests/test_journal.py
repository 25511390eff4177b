from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vestibule import journal
from vestibule.core.errors import LinkError
from vestibule.journal import Journal, take_over


def taken(state: Path) -> list[Mapping[str, Any]]:
    records: list[Mapping[str, Any]] = []

    async def keep(some: Sequence[Mapping[str, Any]]) -> None:
        assert 0 < len(some) <= 500
        records.extend(some)

    assert asyncio.run(take_over(state, keep)) == len(records)
    return records


def test_records_wait_in_order_and_are_taken_once(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    for number in range(3):
        writer.append({"id": str(number)})
    assert [record["id"] for record in taken(tmp_path)] == ["0", "1", "2"]
    assert taken(tmp_path) == []
    writer.append({"id": "3"})
    assert [record["id"] for record in taken(tmp_path)] == ["3"]


def test_many_records_are_taken_many_at_a_time(tmp_path: Path) -> None:
    Journal(tmp_path).append({"id": "0"})
    (path,) = (tmp_path / journal.FOLDER).iterdir()
    with path.open("ab") as file:
        file.writelines(b'{"id": "%d"}\n' % number for number in range(1, 1201))
    assert [record["id"] for record in taken(tmp_path)] == [str(number) for number in range(1201)]


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    Journal(tmp_path).append({"id": "whole"})
    (path,) = (tmp_path / journal.FOLDER).iterdir()
    with path.open("ab") as file:
        file.write(b'{"id": "cut')
    assert [record["id"] for record in taken(tmp_path)] == ["whole"]


def test_nothing_is_removed_that_was_not_kept(tmp_path: Path) -> None:
    Journal(tmp_path).append({"id": "a"})

    async def refuse(some: Sequence[Mapping[str, Any]]) -> None:
        raise LinkError("no")

    with pytest.raises(LinkError):
        asyncio.run(take_over(tmp_path, refuse))
    assert [record["id"] for record in taken(tmp_path)] == ["a"]


def test_a_full_journal_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 40)
    writer = Journal(tmp_path)
    writer.append({"id": "fits"})
    with pytest.raises(LinkError, match="full"):
        writer.append({"id": "does not fit any more"})
    assert [record["id"] for record in taken(tmp_path)] == ["fits"]


def test_a_folder_that_cannot_be_made_is_an_error_and_names_no_record(tmp_path: Path) -> None:
    (tmp_path / journal.FOLDER).write_text("in the way", encoding="utf-8")
    with pytest.raises(LinkError) as caught:
        Journal(tmp_path).append({"id": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_nothing_is_lost_between_a_writer_and_a_taker(tmp_path: Path) -> None:
    writer, written = Journal(tmp_path), 300

    def write() -> None:
        for number in range(written):
            writer.append({"id": str(number)})

    thread = threading.Thread(target=write)
    thread.start()
    found: list[Mapping[str, Any]] = []
    while thread.is_alive():
        found += taken(tmp_path)
    thread.join()
    found += taken(tmp_path)
    assert [int(record["id"]) for record in found] == list(range(written))


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    Journal(tmp_path).append({"id": "a"})
    folder = tmp_path / journal.FOLDER
    assert folder.stat().st_mode & 0o077 == 0
    (path,) = folder.iterdir()
    assert path.name == f"{os.getpid()}.jsonl"
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text(encoding="utf-8")) == {"id": "a"}
