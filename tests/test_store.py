"""The store on chDB: tables, exactly once, release, close, questions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.released import partial_of, release_of
from vestibule.core.cells import Accumulator, Partial, merge
from vestibule.core.errors import StoreError
from vestibule.core.hits import Fact
from vestibule.core.keys import SALT_BYTES, day_keys, visitor_key
from vestibule.core.release import RARE
from vestibule.store import (
    Breakdown,
    Closing,
    DayClosedError,
    Store,
    TimeSeries,
    User,
    archiving,
    open_store,
    releasing,
)

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

SITE = "relaso.com"
DAY, NEXT = date(2026, 11, 22), date(2026, 11, 23)
NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())
LATER = datetime(2026, 11, 24, 3, tzinfo=UTC)
BERLIN = "Europe/Berlin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{folder}")
    opened.migrate()
    yield opened
    opened.close()


def views(numbers: dict[tuple[str, str], int], day: date = DAY, first: int = 0) -> Partial:
    """So many visitors on each page from each country, one view each."""
    keys = day_keys("secret", bytes(SALT_BYTES), SITE, day.isoformat())
    noon = NOON + 86_400 * (day - DAY).days
    cells, visitor = Accumulator(), first
    for (page, country), number in numbers.items():
        folders = (f"/{page.split('/')[1]}/*",) if page.count("/") > 1 else ()
        for _ in range(number):
            visitor += 1
            values = {
                "page": (page, *folders),
                "country": (country, "EU"),
                "hour": (f"{12 + visitor % 2}",),
            }
            cells.add(SITE, day.isoformat(), keys, "view", noon + visitor, values, visitor_key(keys, str(visitor)))
    return cells.take()


NUMBERS = {("/", "DE"): 20, ("/", "FR"): 15, ("/blog/a", "DE"): 9, ("/blog/b", "DE"): 3, ("/blog/c", "DE"): 4}


def breakdown(store: Store, **asked: Any) -> dict[str, Any]:
    return store.breakdown(Breakdown(**asked))


def timeseries(store: Store, **asked: Any) -> dict[str, Any]:
    return store.timeseries(TimeSeries(**asked))


def add(store: Store, partial: Partial, batch: str = "b1") -> None:
    store.insert_cells(batch, partial)
    store.insert_totals(batch, partial.totals.items())


def pages(store: Store, start: date = DAY, end: date = DAY, where: tuple[str, str] | None = None) -> dict[str, int]:
    answer = breakdown(store, site=SITE, kind="view", by="page", start=start, end=end, where=where)
    found = {row["value"]: row["count"] for row in answer["rows"]}
    return {**found, "rare": answer["rare"]["count"]}


def test_migrations_are_applied_once(store: Store) -> None:
    assert store.migrate() == []


def test_a_question_takes_two_threads_whatever_the_machine_has(store: Store) -> None:
    asked = "SELECT value, changed FROM system.settings WHERE name = 'max_threads'"
    assert store._client.query(asked).result_rows == [("2", 1)]


def test_a_newer_schema_is_refused(store: Store) -> None:
    store._client.command("INSERT INTO schema_migrations (number, name) VALUES (9999, 'of the future')")
    with pytest.raises(StoreError, match="newer version"):
        store.migrate()


def test_the_time_to_keep_follows_the_setting(store: Store) -> None:
    for seconds in (86_400 * 40, 86_400 * 40, 86_400 * 50):
        store.keep(seconds)
        (engine,) = store._client.query("SELECT engine_full FROM system.tables WHERE name = 'cells'").result_rows[0]
        assert f"toIntervalSecond({seconds})" in engine


def test_a_batch_counts_once_even_after_a_restart(folder: Path) -> None:
    for _ in range(2):
        store = open_store(f"chdb://{folder}")
        store.migrate()
        for _ in range(2):
            add(store, views(NUMBERS))
        store.close()
    store = open_store(f"chdb://{folder}")
    try:
        assert store._client.query("SELECT sum(count) FROM totals").result_rows == [(51,)]
        singles = "SELECT sum(count), uniqCombined64Merge(visitors) FROM open_cells WHERE a = '' GROUP BY a"
        assert store._client.query(singles).result_rows == [(51, 51)]
    finally:
        store.close()


def test_equal_batches_of_other_names_count_each(store: Store) -> None:
    add(store, views(NUMBERS), "b1")
    add(store, views(NUMBERS), "b2")
    singles = "SELECT sum(count), uniqCombined64Merge(visitors) FROM open_cells WHERE a = '' GROUP BY a"
    assert store._client.query(singles).result_rows == [(102, 51)]


def test_what_a_day_was_given_is_told_by_its_facts(store: Store) -> None:
    """Of days until one, whatever the parts of the table are merged to; a day without cells has none."""
    assert store.added(SITE, NEXT) == {}
    add(store, views(NUMBERS))
    add(store, views({("/", "DE"): 4}, NEXT), "b2")
    (before,) = store.added(SITE, DAY).values()
    assert store.added(SITE, NEXT).keys() == {DAY, NEXT}
    assert store.added("other.example", NEXT) == {}
    store._client.command("OPTIMIZE TABLE open_cells FINAL")
    assert store.added(SITE, DAY) == {DAY: before}
    add(store, views({("/", "DE"): 1}), "b3")
    assert store.added(SITE, DAY)[DAY] > before
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert store.added(SITE, NEXT).keys() == {NEXT}


def test_a_live_snapshot_is_rounded_and_marked(store: Store) -> None:
    add(store, views(NUMBERS))
    assert pages(store) == {"rare": 0}
    assert store.release(SITE, DAY, k=5, owner="o")
    assert pages(store) == {"/": 35, "/blog/a": 5, "/blog/* (others)": 5, "rare": 0}
    answer = breakdown(store, site=SITE, kind="view", by="page", start=DAY, end=DAY)
    assert answer["provisional"] is True


def test_closing_releases_exactly_and_forgets_the_rest(store: Store) -> None:
    store.salt(SITE, DAY, bytes(SALT_BYTES))
    add(store, views(NUMBERS))
    store.release(SITE, DAY, k=5, owner="o")
    assert store.open_days() == [(SITE, DAY)]
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    answer = breakdown(store, site=SITE, kind="view", by="page", start=DAY, end=DAY)
    assert answer == {
        "rows": [
            {"value": "/", "count": 35, "visitors": 35},
            {"value": "/blog/a", "count": 9, "visitors": 9},
            {"value": "/blog/* (others)", "count": 7, "visitors": 7},
        ],
        "rare": {"count": 0, "visitors": 0},
        "provisional": False,
    }
    for table in ("open_cells", "salts"):
        assert store._client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]
    assert store.open_days() == []
    assert store.closed() == {(SITE, DAY)}


@pytest.mark.parametrize("days", [1, 30])
def test_a_day_that_may_not_be_told_of_any_more_is_forgotten(store: Store, days: int) -> None:
    """Whose numbers the store forgets as they are released."""
    store.keep(86_400 * days)
    day = LATER.date() - timedelta(days=days + 1)
    store.salt(SITE, day, bytes(SALT_BYTES))
    add(store, views(NUMBERS, day))
    assert store.close_day(SITE, day, k=5, owner="o", now=LATER)
    for table in ("open_cells", "salts"):
        assert store._client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]
    assert store.open_days() == []
    assert store.closed() == {(SITE, day)}


def test_closing_again_changes_nothing(store: Store) -> None:
    add(store, views(NUMBERS))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    before = store._client.query("SELECT * FROM cells ORDER BY ALL").result_rows
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER) == Closing(False)
    assert store.close_day(SITE, DAY, k=5, owner="another", now=LATER) == Closing(False)
    assert not store.release(SITE, DAY, k=5, owner="o")
    assert store._client.query("SELECT * FROM cells ORDER BY ALL").result_rows == before


@pytest.mark.parametrize("owner", ["o", "another"])
def test_what_lands_after_the_close_is_removed_and_counted(store: Store, owner: str) -> None:
    """The names of its cells are below k, and nothing would ever fold them."""
    add(store, views(NUMBERS))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    before = told_of(store)
    late = views({("/a-secret", "DE"): 1})
    add(store, late, "late")
    store._insert("salts", ("site", "day", "salt"), [[SITE], [DAY], ["00"]], "late")
    assert store.open_days() == [(SITE, DAY)]
    assert store.close_day(SITE, DAY, k=5, owner=owner, now=LATER) == Closing(False, len(late))
    assert store.close_day(SITE, DAY, k=5, owner=owner, now=LATER) == Closing(False)
    for table in ("open_cells", "salts"):
        assert store._client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]
    assert store.open_days() == []
    assert told_of(store) == before


def test_what_lands_between_the_exchange_and_the_end_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real, late = releasing.release, views({("/late", "DE"): 1})

    def release(*given: Any, **more: Any) -> int | None:
        made = real(*given, **more)
        add(store, late, "late")
        return made

    add(store, views(NUMBERS))
    monkeypatch.setattr(releasing, "release", release)
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER) == Closing(True, len(late))
    assert store.open_days() == []
    assert pages(store) == {"/": 35, "/blog/a": 9, "/blog/* (others)": 7, "rare": 0}


def test_a_close_that_was_cut_short_is_finished(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, views(NUMBERS))
    with monkeypatch.context() as patched:
        patched.setattr(Store, "_note_closed", cut_before_done)
        with pytest.raises(KeyboardInterrupt):
            store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert store.open_days() == [(SITE, DAY)]
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert pages(store) == {"/": 35, "/blog/a": 9, "/blog/* (others)": 7, "rare": 0}
    assert store.open_days() == []


original = Store._note_closed


def cut_before_done(self: Store, site: str, day: date, state: str, owner: str, now: datetime) -> None:
    if state == "done":
        raise KeyboardInterrupt
    original(self, site, day, state, owner, now)


def test_a_claimed_day_is_another_s_until_it_has_taken_too_long(store: Store) -> None:
    add(store, views(NUMBERS))
    assert store._claim(SITE, DAY, "first", LATER, 3600)
    assert not store.close_day(SITE, DAY, k=5, owner="second", now=LATER)
    assert store.close_day(SITE, DAY, k=5, owner="second", now=LATER.replace(hour=5))
    assert pages(store)["/"] == 35


def test_a_day_changes_hands_once_and_back_only_after_as_long(store: Store) -> None:
    claimed = {
        (owner, hours): store._claim(SITE, DAY, owner, LATER + timedelta(hours=hours), 3600)
        for owner, hours in (("a", 0), ("b", 0), ("b", 2), ("c", 2), ("a", 2), ("b", 3), ("a", 4), ("c", 4), ("a", 9))
    }
    assert {wanted for wanted, got in claimed.items() if got} == {("a", 0), ("b", 2), ("b", 3), ("a", 4), ("a", 9)}
    assert store._client.query("SELECT count() FROM closed_days").result_rows == [(3,)]


def test_other_days_and_sites_are_left_alone(store: Store) -> None:
    add(store, views(NUMBERS), "b1")
    add(store, views(NUMBERS, NEXT), "b2")
    store.release(SITE, NEXT, k=5, owner="o")
    before = pages(store, NEXT, NEXT)
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert pages(store, NEXT, NEXT) == before
    assert store.open_days() == [(SITE, NEXT)]
    assert pages(store, DAY, NEXT)["/"] == 70


def everything(store: Store, *, singly: bool = False) -> list[dict[str, Any]]:
    """Answers to questions of all sorts about two days, asked together. singly: must be the same one by one."""
    asked: dict[str, Any] = {"site": SITE, "kind": "view", "start": DAY, "end": NEXT}
    filters = [("page", "/"), ("page", "/blog/*"), ("page", "/blog/* (others)"), ("country", "EU"), ("country", "XX")]
    questions: list[Breakdown | TimeSeries] = [
        *(Breakdown(**asked, by=by, level=level) for by in ("page", "country") for level in (None, 0, 1)),
        *(Breakdown(**asked, by=by, where=where) for by in ("page", "hour") for where in filters if where[0] != by),
        Breakdown(**asked, by="page", limit=1),
        *(TimeSeries(**asked, interval=interval, timezone=BERLIN) for interval in ("minute", "hour", "day")),
        *(
            TimeSeries(**asked, interval=interval, timezone=BERLIN, where=where)
            for interval in ("hour", "day")
            for where in filters
        ),
    ]
    answers = store.answers(questions)
    if singly:
        assert answers == [store.answers([question])[0] for question in questions]
    return answers


def test_an_archived_day_tells_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, views(NUMBERS), "b1")
    add(store, views(NUMBERS, NEXT), "b2")
    store.release(SITE, NEXT, k=5, owner="o")
    assert not store.archive(SITE, LATER), "an open day is none to archive"
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    before = everything(store, singly=True)
    assert [len(answer.get("rows", ())) for answer in before[:3]] == [3, 2, 3]

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def tables() -> tuple[int, int]:
        sql = "SELECT (SELECT count() FROM archive), (SELECT uniqExact(day) FROM cells)"
        ((archived, days),) = store._client.query(sql).result_rows
        return archived, days

    with monkeypatch.context() as patched:
        patched.setattr(store._client, "insert", cut)
        with pytest.raises(KeyboardInterrupt):
            store.archive(SITE, LATER)
    copied, _ = tables()
    assert copied > 0
    assert everything(store) == before, "copied, but not noted"
    for _ in range(2):
        assert not store.archive(SITE, LATER)
        assert everything(store) == before
        assert tables() == (copied, 2), "once, and still in both"
    store.archive(SITE, LATER.replace(day=26))
    assert tables() == (copied, 1)
    assert everything(store) == before
    assert not store.archive("another", LATER)


def test_years_are_archived_a_few_days_at_a_time(store: Store) -> None:
    days = [date(2026, 10, number) for number in range(1, 13)]
    for day in days:
        add(store, views({("/", "DE"): 5}, day), f"b{day}")
        store.close_day(SITE, day, k=5, owner="o", now=LATER)
    assert store.archive(SITE, LATER)
    assert store.archive(SITE, LATER), "the month is over, and summed up"
    assert not store.archive(SITE, LATER)
    assert pages(store, days[0], days[-1]) == {"/": 60, "rare": 0}


def close(store: Store, day: date, visitors: int, first: int = 0) -> None:
    numbers = {("/", "DE"): visitors, ("/blog/a", "DE"): 9, ("/blog/b", "FR"): 3, ("/blog/c", "DE"): 4}
    add(store, views(numbers, day, first), f"b{day}")
    store.close_day(SITE, day, k=5, owner="o", now=LATER)


def archive(store: Store, now: datetime = LATER) -> None:
    while store.archive(SITE, now):
        pass


def sums(store: Store) -> dict[str, list[int]]:
    """By month of how many days there are sums."""
    found = store._client.query(
        "SELECT toString(month), days FROM archive_months GROUP BY ALL ORDER BY ALL"
    ).result_rows
    return {month[:7]: [days for other, days in found if other == month] for month, _ in found}


def in_sum(store: Store, start: date, end: date) -> list[dict[str, Any]]:
    """Answers that months may be summed up for, and one that they may not."""
    asked: dict[str, Any] = {"site": SITE, "kind": "view", "start": start, "end": end}
    return store.answers(
        [
            *(Breakdown(**asked, by="page", level=level) for level in (None, 0)),
            *(Breakdown(**asked, by="country", where=("page", page)) for page in ("/", "/blog/*")),
            Breakdown(**asked, by="page", where=("country", "DE")),
            TimeSeries(**asked, interval="day", timezone=BERLIN, where=("country", "EU")),
        ]
    )


def test_summed_months_tell_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, end = date(2026, 7, 1), date(2026, 11, 30)
    days = [date(2026, 7, 30), date(2026, 7, 31), date(2026, 8, 1), date(2026, 8, 31), date(2026, 9, 1), DAY]
    for number, day in enumerate(days):
        close(store, day, 20 + number)
    add(store, views(NUMBERS, NEXT), "open")
    store.release(SITE, NEXT, k=5, owner="o")
    spans = [(begin, end), (date(2026, 8, 1), date(2026, 9, 30)), (date(2026, 8, 2), end), (begin, date(2026, 9, 29))]
    before = [in_sum(store, *span) for span in spans]
    assert len(before[0][0]["rows"]) == 3

    with monkeypatch.context() as patched:
        patched.setattr(store._client, "insert", lambda *_, **__: None)
        archive(store)
    assert sums(store) == {}
    archive(store)
    assert sums(store) == {"2026-08": [2], "2026-09": [1]}, "July began before the first day, November is not over"
    assert [in_sum(store, *span) for span in spans] == before
    lying = store._archive.lying(SITE)
    assert [len(lying.whole(*span)) for span in spans] == [2, 2, 0, 0]

    close(store, date(2026, 9, 2), 30, first=500)
    assert list(store._archive.lying(SITE).months) == [(date(2026, 8, 1), 2)], "a day is open again"
    late = [in_sum(store, *span) for span in spans]
    assert late[0] != before[0]
    archive(store)
    assert sums(store) == {"2026-08": [2], "2026-09": [1, 2]}
    assert [in_sum(store, *span) for span in spans] == late
    archive(store, LATER.replace(day=26))
    assert sums(store) == {"2026-08": [2], "2026-09": [2]}
    assert [in_sum(store, *span) for span in spans] == late


def test_half_a_sum_does_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (date(2026, 8, 1), date(2026, 9, 1)):
        close(store, day, 20)
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "_IN_SUM", "SELECT 1")
        archive(store)
    assert sums(store) == {"2026-08": [1], "2026-09": [1]}
    assert list(store._archive.lying(SITE).months) == []
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "MOST_SUMMED", 3)
        archive(store)
    assert list(store._archive.lying(SITE).months) == []
    archive(store)
    assert list(store._archive.lying(SITE).months) == [(date(2026, 8, 1), 1), (date(2026, 9, 1), 1)]
    assert pages(store, date(2026, 8, 1), date(2026, 9, 30))["/"] == 40


# -- visitors of a day -------------------------------------------------------------------------------------------------


def test_a_day_s_visitors_are_told_open_closed_and_archived(store: Store) -> None:
    """Just after midnight: yesterday is open yet, today has nothing, or too few."""
    asked: dict[str, Any] = {"site": SITE, "start": DAY - timedelta(days=6), "end": NEXT, "timezone": BERLIN}
    counted = "SELECT uniqCombined64Merge(visitors) FROM open_cells WHERE a = '' AND day = {day:Date}"

    def days() -> list[tuple[str, int, int]]:
        found = timeseries(store, kind="view", interval="day", **asked)["points"]
        return [(point["time"], point["count"], point["visitors"]) for point in found]

    add(store, views(NUMBERS), "b1")
    ((visitors,),) = store._client.query(counted, {"day": DAY}).result_rows
    assert visitors == 51
    assert days() == [("2026-11-22", 51, 0)], "counted, not released yet"
    store.release(SITE, DAY, k=5, owner="o")
    assert days() == [("2026-11-22", 51, 50)]
    add(store, views({("/", "DE"): 3}, NEXT), "b2")
    store.release(SITE, NEXT, k=5, owner="o")
    assert days() == [("2026-11-22", 51, 50), ("2026-11-23", 3, 0)]
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert days() == [("2026-11-22", 51, 51), ("2026-11-23", 3, 0)]
    told = (
        "SELECT count, visitors FROM {table:Identifier} WHERE kind = 'view' AND a = '' AND b = '' AND day = {day:Date}"
    )
    assert store._client.query(told, {"table": "cells", "day": DAY}).result_rows == [(51, 51)]
    archive(store)
    assert store._client.query(told, {"table": "archive", "day": DAY}).result_rows == [(51, 51)]
    assert days() == [("2026-11-22", 51, 51), ("2026-11-23", 3, 0)]
    add(store, views({("/", "DE"): 9}, NEXT, 60), "b3")
    store.release(SITE, NEXT, k=5, owner="o")
    assert days() == [("2026-11-22", 51, 51), ("2026-11-23", 12, 10)]


def test_a_day_that_is_neither_archived_nor_released_has_its_totals(store: Store) -> None:
    """An older day may be open yet while a newer one is archived."""
    for number, day in enumerate((DAY - timedelta(days=2), DAY)):
        close(store, day, 20 + number)
    archive(store)
    add(store, views(NUMBERS, DAY - timedelta(days=1)), "late")
    found = timeseries(
        store, site=SITE, kind="view", interval="day", start=DAY - timedelta(days=9), end=NEXT, timezone=BERLIN
    )
    assert [point["count"] for point in found["points"]] == [36, 51, 37]
    assert [point["visitors"] for point in found["points"]] == [36, 0, 37]


def test_a_site_s_name_may_be_anything(store: Store) -> None:
    site = "it's \\ a `site`"
    store.salt(site, DAY, bytes(SALT_BYTES))
    assert store.close_day(site, DAY, k=5, owner="o", now=LATER)
    assert store.open_days() == []


def test_a_day_has_one_salt(store: Store) -> None:
    first = store.salt(SITE, DAY, b"a" * SALT_BYTES)
    assert store.salt(SITE, DAY, b"b" * SALT_BYTES) == first == b"a" * SALT_BYTES
    assert store.salt(SITE, NEXT, b"c" * SALT_BYTES) != first
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    with pytest.raises(DayClosedError):
        store.salt(SITE, DAY, b"d" * SALT_BYTES)


def test_levels_of_a_tree_add_up(store: Store) -> None:
    add(store, views({**NUMBERS, ("/x/y", "DE"): 2}))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    for level in (None, 0, 1, 2):
        answer = breakdown(store, site=SITE, kind="view", by="page", start=DAY, end=DAY, level=level)
        assert sum(row["count"] for row in answer["rows"]) + answer["rare"]["count"] == 53
    top = breakdown(store, site=SITE, kind="view", by="page", start=DAY, end=DAY, level=0)
    assert top["rows"] == [{"value": "/", "count": 35, "visitors": 35}]
    assert top["rare"]["count"] == 18


def test_a_limit_leaves_the_rare_row(store: Store) -> None:
    add(store, views({("/a", "DE"): 9, ("/b", "DE"): 8, ("/c", "DE"): 7, ("/d", "DE"): 3, ("/e", "DE"): 3}))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    answer = breakdown(store, site=SITE, kind="view", by="page", start=DAY, end=DAY, limit=2)
    assert [row["value"] for row in answer["rows"]] == ["/a", "/b"]
    assert answer["rare"] == {"count": 6, "visitors": 6}


BIG = {
    ("/", "DE"): 40, ("/", "FR"): 15, ("/blog/a", "DE"): 30, ("/blog/a", "FR"): 25,
    ("/blog/b", "DE"): 12, ("/blog/b", "FR"): 11,
}  # fmt: skip


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (("country", "DE"), {"/": 40, "/blog/a": 30, "/blog/b": 12, "rare": 0}),
        (("country", "EU"), {"/": 55, "/blog/a": 55, "/blog/b": 23, "rare": 0}),
        (("country", "nowhere"), {"rare": 0}),
        (("hour", "12"), {"/": 27, "/blog/a": 28, "/blog/b": 11, "rare": 0}),
    ],
)
def test_a_filter_narrows(store: Store, where: tuple[str, str], wanted: dict[str, int]) -> None:
    add(store, views(BIG))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert pages(store, where=where) == wanted


def test_a_filter_by_a_folder_takes_all_below(store: Store) -> None:
    add(store, views(BIG))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    answer = breakdown(store, site=SITE, kind="view", by="country", start=DAY, end=DAY, where=("page", "/blog/*"))
    assert [(row["value"], row["count"]) for row in answer["rows"]] == [("DE", 42), ("FR", 36)]


def test_what_a_filter_holds_back_is_rare(store: Store) -> None:
    add(store, views({**BIG, ("/c", "DE"): 40, ("/c", "FR"): 2, ("/d", "DE"): 40, ("/d", "FR"): 4}))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    found = pages(store, where=("country", "FR"))
    assert sum(found.values()) == 57
    assert "/c" not in found
    assert found["rare"] >= 6


@pytest.mark.parametrize(
    ("interval", "wanted"),
    [
        ("minute", [("2026-11-22T13:00", 51)]),
        ("hour", [("2026-11-22T13:00", 51)]),
        ("day", [("2026-11-22", 51)]),
    ],
)
def test_time_series(store: Store, interval: str, wanted: list[tuple[str, int]]) -> None:
    add(store, views(NUMBERS))
    answer = timeseries(store, site=SITE, kind="view", interval=interval, start=DAY, end=DAY, timezone=BERLIN)
    assert [(point["time"], point["count"]) for point in answer["points"]] == wanted
    assert not timeseries(store, site=SITE, kind="view", interval=interval, start=NEXT, end=NEXT, timezone=BERLIN)[
        "points"
    ]


def test_time_series_with_a_filter(store: Store) -> None:
    add(store, views(BIG))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    asked = {"site": SITE, "kind": "view", "start": DAY, "end": DAY, "timezone": BERLIN, "where": ("page", "/blog/*")}
    assert timeseries(store, interval="day", **asked)["points"] == [{"time": "2026-11-22", "count": 78, "visitors": 78}]
    hours = timeseries(store, interval="hour", **asked)["points"]
    assert [(point["time"], point["count"]) for point in hours] == [("2026-11-22T12:00", 39), ("2026-11-22T13:00", 39)]
    with pytest.raises(StoreError, match="not by minute"):
        timeseries(store, interval="minute", **asked)


def test_filters_by_one_dimension_are_asked_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, views(BIG), "b1")
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    archive(store)
    add(store, views({**BIG, ("/", "LI"): 6, ("/", "AD"): 2, ("/", "SM"): 3}, NEXT), "b2")
    store.release(SITE, NEXT, k=5, owner="o")
    asked: dict[str, Any] = {"site": SITE, "kind": "view", "start": DAY, "end": NEXT, "interval": "day"}
    asked["timezone"] = BERLIN
    questions = [
        TimeSeries(**asked, where=("country", value)) for value in ("DE", "FR", "EU", "EU (others)", RARE, "nowhere")
    ]
    singly = [store.answers([question])[0] for question in questions]
    counts = [[point["count"] for point in answer["points"]] for answer in singly]
    assert counts == [[82, 80], [51, 50], [133, 140], [5], [], []]
    assert [answer["provisional"] for answer in singly] == [True, True, True, True, False, False]

    sent: list[str] = []
    asking = store._client.query

    def query(sql: str, *rest: Any, **more: Any) -> Any:
        sent.append(sql)
        return asking(sql, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(store._client, "query", query)
        assert store.answers(questions) == singly
        assert len(sent) == 1, "all days"
        sent.clear()
        assert store.answers(questions) == singly
        assert len(sent) == 2, "archived days, which are remembered, and open ones"
        sent.clear()
        assert store.answers(questions) == singly
        assert len(sent) == 1
        assert "FROM archive" not in sent[0]
    store.release(SITE, NEXT, k=50, owner="o")
    again = store.answers(questions)
    assert [point["count"] for point in again[0]["points"]] == [82, 50], "what is open is read anew"


def test_a_filter_is_provisional_whatever_rows_are_shown(store: Store) -> None:
    add(store, views(BIG), "b1")
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    add(store, views({("/", "DE"): 3, ("/new", "DE"): 30, ("/", "FR"): 30, ("/new", "FR"): 35}, NEXT), "b2")
    store.release(SITE, NEXT, k=5, owner="o")
    asked = {"site": SITE, "kind": "view", "by": "page", "where": ("country", "DE")}
    for limit in (1, 10):
        assert breakdown(store, **asked, start=DAY, end=NEXT, limit=limit)["provisional"], limit
        assert not breakdown(store, **asked, start=DAY, end=DAY, limit=limit)["provisional"], limit


def test_a_day_of_25_hours(store: Store) -> None:
    """Clocks go back on 25 October 2026 in Berlin: that day's last minute is 23:59, 22:59 UTC."""
    keys = day_keys("secret", bytes(SALT_BYTES), SITE, "2026-10-25")
    cells = Accumulator()
    for hour in range(25):
        begin = datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()
        cells.add(SITE, "2026-10-25", keys, "view", begin + 3600 * hour, {}, b"v" * 16)
    add(store, cells.take())
    day = date(2026, 10, 25)
    answer = timeseries(store, site=SITE, kind="view", interval="day", start=day, end=day, timezone=BERLIN)
    assert [(point["time"], point["count"]) for point in answer["points"]] == [("2026-10-25", 25)]
    hours = timeseries(store, site=SITE, kind="view", interval="hour", start=day, end=day, timezone=BERLIN)["points"]
    assert len(hours) == 24
    assert {point["time"]: point["count"] for point in hours}["2026-10-25T02:00"] == 2


def test_consent_records_are_kept_once(store: Store) -> None:
    record = {"id": "r1", "site": SITE, "time": NOON, "purposes": ["statistics"]}
    for _ in range(2):
        store.insert_consent("c1", [record])
    assert store.consent_record(SITE, "r1") == record
    assert store.consent_record(SITE, "r2") is None
    assert store._client.query("SELECT count() FROM consent_records").result_rows == [(1,)]


def test_accounts(store: Store) -> None:
    store.add_user(User("ada", "hash 1", "officer"), LATER)
    store.add_user(User("bob", "hash 2"), LATER)
    store.add_user(User("ada", "hash 3", "viewer"), LATER.replace(hour=4))
    assert store.users() == [User("ada", "hash 3", "viewer"), User("bob", "hash 2", "viewer")]
    assert "hash" not in repr(store.user("bob"))
    assert store.remove_user("ada", LATER.replace(hour=5))
    assert not store.remove_user("ada", LATER.replace(hour=6))
    assert store.user("ada") is None
    assert store._client.query("SELECT count() FROM users WHERE password_hash = 'hash 3'").result_rows == [(0,)]


def test_errors_are_one_line_without_values(store: Store) -> None:
    store._client.command("DROP TABLE cells")
    with pytest.raises(StoreError) as caught:
        pages(store, where=("country", "/secret-value"))
    assert "UNKNOWN_TABLE" in str(caught.value)
    assert "secret-value" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgres://x", "must be chdb:///PATH"),
        ("chdb://relative/path", "absolute path"),
        ("chdb:////proc/nowhere", "/proc/nowhere"),
        ("clickhouse://u:hunter2@127.0.0.1:9/v", "does not answer"),
        ("clickhouse://u:hunter2@127.0.0.1:9/v?cluster=main", "does not answer"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(dsn: str, words: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(dsn)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_a_folder_that_is_in_use_is_said_so(store: Store, folder: Path) -> None:
    done = run(f"""
from vestibule.store import open_store
from vestibule.core.errors import StoreError
try: open_store("chdb://{folder}")
except StoreError as error: print(error)
""")
    assert "belongs to one process at a time" in done.stdout


def test_without_the_extra_one_line_says_what_to_install() -> None:
    done = run("""
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "chdb" else found(name, *rest)
from vestibule.store import open_store
from vestibule.core.errors import StoreError
try: open_store("chdb:///tmp/x")
except StoreError as error: print(error)
""")
    assert done.stdout == 'store: chdb:///tmp/x needs the extra "embedded": pip install "vestibule[embedded]"\n'


def test_neither_pandas_nor_pyarrow_is_loaded(tmp_path: Path) -> None:
    done = run(f"""
import sys
from vestibule.store import open_store
assert "chdb" not in sys.modules and "clickhouse_connect" not in sys.modules
store = open_store("chdb://{tmp_path}")
store.migrate()
print([name for name in ("pandas", "pyarrow") if sys.modules.get(name)], "chdb" in sys.modules)
store.close()
""")
    assert (done.stdout, done.returncode) == ("[] True\n", 0), done.stderr


def test_a_batch_may_bring_very_many_days(store: Store) -> None:
    parts = [views({("/", "DE"): 1}, date.fromordinal(DAY.toordinal() - back)) for back in range(150)]
    add(store, merge(parts))
    assert len(store.open_days()) == 150


def test_consent_records_go_when_nobody_can_claim_any_more(store: Store) -> None:
    now = int(datetime.now(UTC).timestamp())
    year = 365 * 86_400
    records = [{"id": f"y{years}", "site": SITE, "time": now - years * year} for years in (0, 4, 6)]
    store.insert_consent("years", records)
    store.keep(30 * 86_400, 5 * year)
    store.purge()
    assert [store.consent_record(SITE, f"y{years}") is not None for years in (0, 4, 6)] == [True, True, False]
    store.keep(30 * 86_400, 3 * year)
    store.purge()
    assert [store.consent_record(SITE, f"y{years}") is not None for years in (0, 4)] == [True, False]


chains = st.sampled_from([("p", "P"), ("q", "P"), ("r", "P"), ("s", "Q", "R"), ("t", "Q", "R"), ("v",), ("P",)])
short = st.sampled_from([("1",), ("2",), ("3",), ("4", "E"), ("5", "E")])
facts = st.lists(
    st.tuples(st.fixed_dictionaries({"a": chains, "b": short}, optional={"c": short, "d": chains}), st.integers(0, 40)),
    min_size=1,
    max_size=120,
)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts, st.sampled_from([2, 5]), st.booleans(), st.data())
def test_the_tables_and_the_release_agree(
    store: Store, found: list[tuple[dict[str, tuple[str, ...]], int]], k: int, live: bool, data: st.DataObject
) -> None:
    """What the store sums up and releases, in several batches, is what Python makes of the same facts in one."""
    counted = [Fact(SITE, "view", float(NOON), values, str(visitor)) for values, visitor in found]
    whole = partial_of(counted, DAY.isoformat())
    cut = data.draw(st.integers(0, len(counted)))
    site = f"{SITE} {uuid4()}"
    for number, part in enumerate((counted[:cut], counted[cut:])):
        partial = partial_of(part, DAY.isoformat())
        nodes = tuple(node._replace(site=site) for node in partial.nodes)
        store.insert_cells(f"{site}/{number}", replace(partial, nodes=nodes))
    if live:
        store.release(site, DAY, k=k, owner="o")
    else:
        store.close_day(site, DAY, k=k, owner="o", now=LATER)
    columns = "a, a_value, b, b_value, toString(part), count, visitors"
    rows = store._client.query(f"SELECT {columns} FROM cells WHERE site = {{site:String}}", {"site": site}).result_rows
    wanted = [
        (row.a, row.a_value, row.b, row.b_value, str(row.part), row.count, row.visitors)
        for row in release_of(whole, "view", k, live)
    ]
    assert sorted(map(tuple, rows)) == sorted(wanted)


@pytest.mark.parametrize("last", [{"a": ("r",), "b": ("s",)}, {"a": ("r",)}, {}])
def test_values_that_are_never_together_do_not_give_away_who_has_neither(
    store: Store, last: dict[str, tuple[str, ...]]
) -> None:
    """Five are of this, five of that, and one has nothing that is told: eleven less ten would be that one."""
    values = [{"a": ("p",)}] * 5 + [{"b": ("q",)}] * 5 + [last]
    add(store, partial_of([Fact(SITE, "view", float(NOON), each, str(number)) for number, each in enumerate(values)]))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    told = store._client.query("SELECT DISTINCT a_value, b_value, count FROM cells ORDER BY ALL").result_rows
    assert [tuple(row) for row in told] == [("", "", 11), (RARE, "", 11)]


def told_of(store: Store) -> list[tuple[Any, ...]]:
    found = store._client.query("SELECT a, a_value, b, b_value, count, provisional FROM cells ORDER BY ALL")
    return [tuple(row) for row in found.result_rows]


def test_a_snapshot_of_a_day_that_is_closed_meanwhile_is_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, views(NUMBERS))
    portions = releasing._portions

    def closed_before(found: Iterator[Any]) -> Iterator[Any]:
        monkeypatch.undo()
        store.close_day(SITE, DAY, k=5, owner="other", now=LATER)
        return portions(found)

    monkeypatch.setattr(releasing, "_portions", closed_before)
    assert not store.release(SITE, DAY, k=5, owner="o")
    told = told_of(store)
    assert told
    assert not any(provisional for *_, provisional in told)
    assert tables(store) == []


def standing_still(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """The next release stops after its first question, until that has happened."""
    note = releasing._note_known

    def paused(*given: Any) -> None:
        note(*given)
        monkeypatch.undo()
        happens()

    monkeypatch.setattr(releasing, "_note_known", paused)


def test_who_stood_still_leaves_what_another_released(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, views(NUMBERS))
    told: list[tuple[Any, ...]] = []

    def taken_over() -> None:
        assert store.close_day(SITE, DAY, k=5, owner="second", now=LATER + timedelta(hours=2))
        told.extend(told_of(store))

    standing_still(monkeypatch, taken_over)
    assert store.close_day(SITE, DAY, k=5, owner="first", now=LATER) == Closing(False)
    assert told_of(store) == told
    assert [row for row in told if row[2]], "pairs"
    assert tables(store) == []
    assert store.open_days() == []


def claimed(store: Store) -> None:
    store._claim(SITE, DAY, "second", LATER + timedelta(hours=2), 3600)


def told_by_another(store: Store) -> None:
    columns = "site, day, kind, part, count, provisional"
    store._client.command(f"INSERT INTO cells ({columns}) VALUES ('{SITE}', '{DAY}', 'view', 'node', 51, false)")


@pytest.mark.parametrize(
    ("happens", "then"),
    [
        (claimed, {}),
        (told_by_another, {"rare": 0}),
        (lambda store: add(store, views({("/late", "DE"): 5}, first=99), "late"), {"/": 35, "/late": 5}),
        (lambda store: store._forget(SITE, DAY), {"rare": 0}),
    ],
    ids=["claimed", "told", "more facts", "facts are gone"],
)
def test_a_close_is_dropped_where_its_day_has_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Store], object], then: dict[str, int]
) -> None:
    """It is whole or not there: where its owner still has the day, the next time it comes out as it must."""
    add(store, views(NUMBERS))
    standing_still(monkeypatch, lambda: happens(store))
    assert store.close_day(SITE, DAY, k=5, owner="first", now=LATER) == Closing(False)
    assert told_of(store) == ([("", "", "", "", 51, False)] if happens is told_by_another else [])
    assert tables(store) == []
    assert bool(store.close_day(SITE, DAY, k=5, owner="first", now=LATER)) == bool(then)
    assert pages(store).items() >= then.items()


def test_a_snapshot_in_place_of_the_exact_numbers_does_not_cost_the_open_cells(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, views(NUMBERS))
    release = releasing.release

    def overtaken(*given: Any, **named: Any) -> int | None:
        monkeypatch.undo()
        made = release(*given, **named)
        store._client.command(f"ALTER TABLE cells DROP PARTITION {releasing.partition(SITE, DAY)}")
        return made

    monkeypatch.setattr(releasing, "release", overtaken)
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER) == Closing(False)
    assert store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert pages(store) == {"/": 35, "/blog/a": 9, "/blog/* (others)": 7, "rare": 0}


def tables(store: Store) -> list[str]:
    found = store._client.query("SHOW TABLES LIKE 'staging%'").result_rows
    return sorted(name for (name,) in found)


def test_what_a_release_that_was_cut_short_left_is_removed(store: Store) -> None:
    ours = [f"staging_{'0f' * 8}", f"staging_{'0f' * 8}_known"]
    for name in (*ours, "staging_of_somebody_else"):
        store._client.command(f"CREATE TABLE {name} AS cells")
    add(store, views(NUMBERS))
    store.close_day(SITE, DAY, k=5, owner="o", now=LATER)
    assert tables(store) == [*ours, "staging_of_somebody_else"]  # somebody may be at it
    releasing.sweep(store._client, store._layout, age=-60)
    assert tables(store) == ["staging_of_somebody_else"]
    assert told_of(store)
