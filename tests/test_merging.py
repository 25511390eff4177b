"""While the store is away: the spool follows what is different, in steps of bounded work, and nothing counts twice."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_spool import contents, drain, partial
from vestibule.core.cells import Cell, Partial, merge
from vestibule.recorder import merging, spool
from vestibule.recorder.merging import Part, due
from vestibule.recorder.spool import Spool, SpoolError

HEAVY, STEP = 200, 800


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes hours of traffic otherwise."""
    monkeypatch.setattr(merging, "HEAVY", HEAVY)
    monkeypatch.setattr(merging, "STEP", STEP)
    monkeypatch.setattr(spool, "HEAVY", HEAVY)
    monkeypatch.setattr(spool, "_HEAVY_ONES", 4 * HEAVY)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.sqlite")
    yield made
    made.close()


def some(chance: random.Random) -> Partial:
    """Views of eight of sixty pages by some of forty visitors: sixty to a hundred hashes."""
    return merge(
        [partial(f"/{page}", range(of := chance.randrange(38), of + 2)) for page in chance.sample(range(60), 8)]
    )


def places(opened: Spool) -> set[int]:
    return {place for (place,) in opened._all("SELECT level FROM pending")}


def test_the_file_is_small_again_once_all_was_sent(
    opened: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_SPARE_PAGES", 8)
    for number in range(40):
        opened.append(partial(f"/{number}", range(number * 1000, number * 1000 + 1000)))

    def pages() -> int:
        return int(opened._one("PRAGMA page_count") or 0)

    drain(opened)
    most = pages()
    assert most > 200
    path = tmp_path / "spool.sqlite"
    with monkeypatch.context() as patched:

        def refuses(*_: object) -> None:
            raise sqlite3.OperationalError("database is locked")

        patched.setattr(opened, "_one", refuses)
        opened.sent("of which nothing is known")  # it is done, whatever becomes of the file
    for _ in range(most // 8):  # a bounded piece of work with each batch
        opened.append(partial("/x", range(3)))
        drain(opened)
    assert pages() < most / 4
    opened.close()
    assert path.stat().st_size < most / 4 * 4096


def test_what_waits_follows_the_number_of_different_cells_however_much_comes(opened: Spool) -> None:
    chance = random.Random(5)
    parts, waiting = [], []
    for _ in range(600):
        parts.append(some(chance))
        waiting.append(opened.append(parts[-1]))
    different = len(merge(parts).hashes)
    assert different > 10 * HEAVY
    assert sum(len(part.hashes) for part in parts) > 7 * different
    assert waiting[-1] == opened.waiting
    assert max(waiting) < 4 * different
    assert max(map(merging.depth, places(opened))) >= 1
    left = merge(drain(opened))
    assert contents([left]) == contents(parts)
    assert left.totals == merge(parts).totals


def test_a_step_takes_so_many_hashes_at_most_and_a_write_few_steps(
    opened: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_MERGED_A_WRITE", 1)
    steps: list[int] = []
    writes: list[int] = []

    def noted(parts: Sequence[Partial]) -> Partial:
        steps.append(sum(len(part.hashes) for part in parts))
        return merge(parts)

    monkeypatch.setattr(spool, "merge", noted)
    chance = random.Random(6)
    for _ in range(300):
        before, part = len(steps), some(chance)
        opened.append(part)
        writes.append(sum(steps[before:]) - 3 * len(part.hashes))
    assert max(steps) > HEAVY
    assert max(steps) <= STEP
    assert max(writes) <= STEP


def test_one_cell_of_many_visitors_is_merged_too(opened: Spool) -> None:
    """It cannot be cut, and must neither be cut for ever nor wait unmerged."""
    parts = [partial("/", range(first, first + 30)) for first in range(0, 600, 30)]
    for _ in range(8):
        for part in parts:
            opened.append(part)
    assert opened.waiting < 4 * len(merge(parts).hashes)
    (whole,) = [cell for cell in merge(drain(opened)).cells() if cell.a.dimension == ""]
    assert (whole.count, len(whole.hashes)) == (8 * 600, 600)


def test_a_rush_is_written_as_it_comes_as_long_as_there_is_room(
    opened: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = merge([partial(f"/{page}", range(40)) for page in range(8)])
    assert len(part.hashes) > HEAVY
    for _ in range(30):
        opened.append(part)
    assert places(opened) == {0}
    monkeypatch.setattr(spool, "_BYTES", (1 << 28) // (10 * HEAVY))
    small = Spool(tmp_path / "small.sqlite", limit=1 << 30)
    for _ in range(30):
        small.append(part)
    assert small.waiting < opened.waiting / 2
    assert contents(drain(small)) == contents(drain(opened))
    small.close()


def test_what_an_earlier_version_merged_is_read(opened: Spool) -> None:
    chance = random.Random(7)
    parts = [some(chance) for _ in range(40)]
    for number, part in enumerate(parts):
        opened.append(part)
        if number < 20:
            opened._database.execute("UPDATE pending SET level = id % 7")
    assert contents(drain(opened)) == contents(parts)


def test_a_merge_that_fails_is_made_up_for_and_what_came_is_counted_once(
    opened: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever appends writes once more what could not be written: the part itself was."""
    chance = random.Random(8)
    parts = [some(chance) for _ in range(60)]

    def refused(*_: Any) -> None:
        raise SpoolError("spool: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "_step", refused)
        for part in parts[:50]:
            opened.append(part)
    unmerged = opened.waiting
    for part in parts[50:]:
        opened.append(part)
    assert opened.waiting < unmerged
    assert contents(drain(opened)) == contents(parts)


def test_a_part_is_cut_the_same_way_whatever_is_in_it() -> None:
    chance = random.Random(9)
    for depth in range(3):
        ways: dict[tuple[Any, ...], int] = {}
        for _ in range(20):
            whole = some(chance)
            pieces = whole.scatter(depth)
            assert contents(pieces) == contents([whole])
            assert merge(pieces).totals == whole.totals
            # Nobody looks after totals without cells.
            assert all(len(piece) for piece in partial("/", range(1)).scatter(depth) if piece.totals)
            for way, piece in enumerate(pieces):
                for cell in piece.cells():
                    assert ways.setdefault(what(cell), way) == way
        assert {*ways.values()} == {*range(8)}


def what(cell: Cell) -> tuple[Any, ...]:
    return cell.a[:5], cell.b and cell.b[:5]


@given(st.lists(st.integers(1, 3 * HEAVY), max_size=200))
@settings(max_examples=50)
def test_it_comes_to_an_end_and_little_is_left_at_a_place(sizes: list[int]) -> None:
    """Where nothing is the same, so that each merge is as large as what went in."""
    parts = [Part(0, size, number) for number, size in enumerate(sizes)]
    for number in range(1000, 10_000):
        chosen = due(sorted(parts), 4 * HEAVY)
        if not chosen:
            break
        parts = [part for part in parts if part not in chosen]
        total = sum(part.hashes for part in chosen)
        place = chosen[0].place
        if len(chosen) > 1:
            assert len({part.place for part in chosen}) == 1
            parts.append(Part(place, total, number))
        else:
            assert total >= HEAVY
            parts += [Part(merging.below(place, way), total // 8 + 1, 8 * number + way) for way in range(8)]
    else:
        pytest.fail("it goes on for ever")
    for place in {part.place for part in parts}:
        assert len([part for part in parts if part.place == place]) < 60
