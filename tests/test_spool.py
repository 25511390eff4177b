"""The spool: on disk at once, merged while it waits, frozen once it is sent."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vestibule.core.cells import Accumulator, Cell, Partial, merge
from vestibule.core.keys import SALT_BYTES, day_keys, visitor_key
from vestibule.recorder import merging
from vestibule.recorder import spool as module
from vestibule.recorder.spool import Spool, SpoolError

SITE, DAY = "relaso.com", "2026-11-22"
KEYS = day_keys("secret", bytes(SALT_BYTES), SITE, DAY)


def partial(page: str, visitors: range) -> Partial:
    cells = Accumulator()
    for visitor in visitors:
        values = {"page": (page, "/*"), "country": ("DE",)}
        cells.add(SITE, DAY, KEYS, "view", 60.0, values, visitor_key(KEYS, str(visitor)))
    return cells.take()


def contents(partials: list[Partial]) -> list[Cell]:
    return sorted(merge(partials).cells(), key=lambda cell: (cell.a, cell.b or cell.a[:0]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    opened = Spool(path)
    yield opened
    opened.close()


def drain(spool: Spool) -> list[Partial]:
    found = []
    while batch := spool.freeze():
        found.append(batch.partial)
        spool.sent(batch.id)
    return found


def test_what_goes_in_comes_out_once(spool: Spool) -> None:
    parts = [partial(f"/{number}", range(number + 1)) for number in range(5)]
    for part in parts:
        spool.append(part)
    assert spool.waiting == sum(len(part.hashes) for part in parts)
    assert contents(drain(spool)) == contents(parts)
    assert spool.freeze() is None
    assert spool.waiting == 0


def test_a_frozen_batch_stays_as_it_is_until_it_was_sent(path: Path) -> None:
    spool = Spool(path)
    spool.append(partial("/a", range(3)))
    first = spool.freeze()
    spool.append(partial("/b", range(3)))
    spool.close()
    spool = Spool(path)
    again = spool.freeze()
    assert first is not None
    assert again is not None
    assert (again.id, again.partial.to_bytes()) == (first.id, first.partial.to_bytes())
    spool.sent(first.id)
    after = spool.freeze()
    assert after is not None
    assert after.id != first.id
    assert contents([after.partial]) == contents([partial("/b", range(3))])
    spool.close()


def test_what_waits_merges(spool: Spool) -> None:
    """A hundred seconds of the same visitors take no more room than a few."""
    for _ in range(100):
        spool.append(partial("/a", range(20)))
    (rows,) = spool._database.execute("SELECT count(*) FROM pending").fetchone()
    assert rows < 20
    assert spool.waiting <= rows * len(partial("/a", range(20)).hashes)
    (cell,) = [cell for cell in merge(drain(spool)).cells() if cell.a.dimension == ""]
    assert (cell.count, len(cell.hashes)) == (2000, 20)


def test_a_batch_has_a_bounded_size(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [partial(f"/{number}", range(10)) for number in range(6)]
    monkeypatch.setattr(module, "MAX_HASHES", 2 * len(parts[0].hashes))
    for part in parts:
        spool.append(part)
    batches = drain(spool)
    assert len(batches) == 3
    assert contents(batches) == contents(parts)


def test_a_large_part_is_sent_in_pieces(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = partial("/a", range(50))
    monkeypatch.setattr(module, "MAX_HASHES", 120)
    spool.append(whole)
    batches = drain(spool)
    assert [len(batch.hashes) for batch in batches] == [100, 100, 100]
    assert contents(batches) == contents([whole])
    assert merge(batches).totals == whole.totals


def test_a_full_spool_gives_up_pairs_first_and_says_so(path: Path) -> None:
    spool = Spool(path, limit=200_000)
    parts = [partial(f"/{number}", range(number * 100, number * 100 + 300)) for number in range(30)]
    for part in parts:
        spool.append(part)
    assert spool.size <= 200_000
    assert spool.shed > 0
    left = merge(drain(spool))
    total = len(merge(parts))
    assert len(left) <= total - spool.shed + 30 * 8
    assert any(cell.a.value == "/29" for cell in left.cells())
    spool.close()


def test_what_was_merged_is_as_old_as_the_oldest_in_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging and cutting write old cells anew: the pairs of the last days are not to go before those."""
    for name, value in (("HEAVY", 2_000), ("STEP", 4_000)):
        monkeypatch.setattr(merging, name, value)
    for name, value in (("HEAVY", 2_000), ("_HEAVY_ONES", 6_000), ("_MERGED_A_WRITE", 2_000)):
        monkeypatch.setattr(module, name, value)
    spool = Spool(path, limit=400_000)
    days = [f"2026-11-{number:02}" for number in range(1, 13)]
    for number in range(5 * len(days)):
        day = days[number // 5]
        cells, keys = Accumulator(), day_keys("secret", bytes(SALT_BYTES), SITE, day)
        for visitor in range(150):
            values = {"page": (f"/{visitor % 40}", "/*"), "country": (f"C{visitor % 17}",), "os": (f"O{visitor % 7}",)}
            cells.add(SITE, day, keys, "view", 60.0, values, visitor_key(keys, str(visitor + number)))
        spool.append(cells.take())
    assert spool.shed > 0
    found = sorted(spool._all("SELECT coalesce(since, id), pairs FROM pending"))
    first = next(place for place, (_, pairs) in enumerate(found) if pairs)
    assert 0 < first < len(found)
    assert all(pairs for _, pairs in found[first:])
    left = merge(drain(spool))
    with_pairs = {cell.a.day for cell in left.cells() if cell.b is not None}
    assert days[-1] in with_pairs
    assert days[0] not in with_pairs
    spool.close()


def test_a_spool_of_before_is_read_on(path: Path) -> None:
    spool = Spool(path)
    spool.append(partial("/a", range(5)))
    spool._database.execute("ALTER TABLE pending DROP COLUMN since")
    spool.close()
    spool = Spool(path)
    spool.append(partial("/b", range(5)))
    assert contents(drain(spool)) == contents([partial("/a", range(5)), partial("/b", range(5))])
    spool.close()


def test_consent_records_wait_too(path: Path) -> None:
    spool = Spool(path)
    for number in range(3):
        spool.add_consent({"id": f"r{number}", "site": SITE})
    first = spool.freeze_consents()
    assert first is not None
    spool.add_consent({"id": "r3", "site": SITE})
    spool.close()
    spool = Spool(path)
    assert spool.freeze_consents() == first
    assert [record["id"] for record in first[1]] == ["r0", "r1", "r2"]
    spool.consents_sent(first[0])
    second = spool.freeze_consents()
    assert second is not None
    assert second[0] != first[0]
    assert [record["id"] for record in second[1]] == ["r3"]
    spool.consents_sent(second[0])
    assert spool.freeze_consents() is None
    spool.close()


def test_a_forgotten_salt_is_not_on_disk(path: Path) -> None:
    spool = Spool(path)
    salt = b"SALTSALT" * 4
    spool.keep_salt(SITE, DAY, salt)
    assert spool.salt(SITE, DAY) == salt
    assert spool.salts() == [(SITE, DAY)]
    spool.forget_salt(SITE, DAY)
    assert spool.salt(SITE, DAY) is None
    for file in path.parent.iterdir():
        assert salt not in file.read_bytes()
    spool.close()


def test_the_file_is_private_and_keeps_its_name(path: Path) -> None:
    spool = Spool(path)
    owner = spool.owner
    spool.close()
    assert path.stat().st_mode & 0o777 == 0o600
    again = Spool(path)
    assert again.owner == owner
    again.close()


@pytest.mark.parametrize("content", [b"this is no database" * 100])
def test_a_broken_file_is_said_so(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SpoolError, match=str(path)):
        Spool(path)


def test_a_full_disk_raises_and_loses_nothing_written(spool: Spool) -> None:
    spool.append(partial("/a", range(3)))
    (pages,) = spool._database.execute("PRAGMA page_count").fetchone()
    spool._database.execute(f"PRAGMA max_page_count = {pages}")
    big = merge([partial(f"/{number}", range(100)) for number in range(20)])
    with pytest.raises(SpoolError, match="full"):
        spool.append(big)
    spool._database.execute("PRAGMA max_page_count = 1000000")
    spool.append(big)
    assert contents(drain(spool)) == contents([partial("/a", range(3)), big])


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from tests.test_spool import partial
from vestibule.recorder import merging, spool as module
from vestibule.recorder.spool import Spool
# So that parts are cut and merged all the time.
merging.HEAVY = module.HEAVY = module._HEAVY_ONES = 100
spool = Spool(Path({path!r}))
for number in range(10_000):
    spool.append(partial("/a", range(number, number + 1)))
    print(number + 1, flush=True)
"""


def test_what_was_written_survives_a_kill(path: Path) -> None:
    code = WRITER.format(path=str(path), paths=[each for each in sys.path if each])
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(150):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    said = 150 + sum(1 for _ in process.stdout)
    process.stdout.close()
    process.wait(10)
    spool = Spool(path)
    (cell,) = [cell for cell in merge(drain(spool)).cells() if cell.a.dimension == ""]
    assert said <= cell.count <= said + 1
    spool.close()


def test_two_connections_don_t_hinder_each_other(path: Path) -> None:
    cells, consents = Spool(path), Spool(path)
    cells.append(partial("/a", range(3)))
    consents.add_consent({"id": "r"})
    cells.append(partial("/b", range(3)))
    assert consents.freeze_consents() is not None
    assert len(merge(drain(cells)))
    cells.close()
    consents.close()


def test_sqlite_errors_don_t_leak(spool: Spool) -> None:
    spool.close()
    with pytest.raises(SpoolError):
        spool.append(partial("/a", range(1)))
    with pytest.raises(SpoolError):
        spool.freeze()
    assert issubclass(sqlite3.ProgrammingError, sqlite3.Error)


def test_what_cannot_be_read_is_given_up_and_does_not_stand_in_the_way(spool: Spool) -> None:
    spool.append(partial("/a", range(3)))
    assert spool.freeze() is not None
    spool.append(partial("/b", range(3)))
    spool.append(partial("/c", range(3)))
    spool._database.execute("UPDATE batches SET data = x'00'")
    spool._database.execute("UPDATE pending SET data = x'00' WHERE id = (SELECT min(id) FROM pending)")
    assert contents(drain(spool)) == contents([partial("/c", range(3))])
    assert spool.shed == 2
