"""The loop that feeds the store: early when much waits, patient when it fails, and honest about that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.test_recorder import DAY, SITE, Site, pages, settle, tables, total, views
from vestibule.core.errors import QuestionError, StoreError
from vestibule.dashboard.health import well
from vestibule.recorder import service
from vestibule.recorder.backend import Calls
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Recorder
from vestibule.store import DayClosedError, Store

pytest.importorskip("chdb", reason='the extra "embedded" is not installed')

__all__ = ["tables"]


@pytest.fixture
def site(tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> Site:
    """One whose loop sleeps for an hour."""
    made = Site(tmp_path, tables)
    made.plan = replace(made.plan, live_every=3600)
    monkeypatch.setattr(service, "SHIP_EVERY", 3600.0)
    return made


def test_what_is_much_is_sent_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SHIP_AT", 500)

    async def body(recorder: Recorder, calls: Calls) -> None:
        recorder.run()
        await recorder.hits(views({"/": 2}))
        await recorder.flush()
        # Little, which waits for its time.
        assert not recorder._much.is_set()
        assert 0 < (await recorder.figures())["spool"]["hashes"] < 500
        await recorder.hits(views({f"/{number}": 4 for number in range(40)}))
        await recorder.flush()
        for _ in range(400):
            if not (await recorder.figures())["spool"]["hashes"]:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("it was not sent")

    site.run(body)


def test_a_store_that_fails_is_not_asked_at_once_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SHIP_AT", 1)
    asked = []

    def refused(*_: Any, **__: Any) -> None:
        asked.append(1)
        raise StoreError("store: away")

    async def body(recorder: Recorder, calls: Calls) -> None:
        recorder.run()
        for number in range(4):
            await recorder.hits(views({f"/{number}": 2}))
            await recorder.flush()
            for _ in range(100 if number else 400):
                if asked and (number == 0 or len(asked) > 1):
                    break
                await asyncio.sleep(0.01)
        assert len(asked) == 1

    with monkeypatch.context() as patched:
        patched.setattr(Store, "insert_cells", refused)
        site.run(body)


@pytest.mark.parametrize("error", [StoreError("store: TOO_MANY_PARTS 252"), ValueError("/secret")])
@pytest.mark.parametrize("table", ["insert_cells", "insert_totals"])
def test_health_says_that_nothing_is_accepted_though_the_store_answers(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, table: str
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise error

    async def body(recorder: Recorder, calls: Calls) -> None:
        await recorder.hits(views({"/": 12}))
        await recorder.flush()
        with monkeypatch.context() as patched:
            patched.setattr(Store, table, refused)
            with pytest.raises(type(error)):
                await recorder.ship()
        assert await pages(calls) == {}
        told = await recorder.figures()
        assert recorder.store.trouble == ""
        assert not well(told)
        assert told["store"] == (str(error) if isinstance(error, StoreError) else "store: ValueError")
        await settle(recorder)
        assert well(await recorder.figures())
        assert await total(calls) == 12

    site.run(body)


NONSENSE: list[tuple[str, dict[str, Any], str]] = [
    ("breakdown", {"by": "page", "where": "page:/"}, "cannot be filtered by page"),
    ("breakdown", {"by": "page", "where": "country:DE", "level": 0}, "a level cannot be asked"),
    ("timeseries", {"interval": "minute", "where": "page:/"}, "not by minute"),
    ("timeseries", {"interval": "second"}, "must be minute, hour or day"),
    ("timeseries", {"interval": "day", "from": "0001-01-01", "to": "0001-01-02"}, "from 1900 to 2299"),
    ("timeseries", {"interval": "hour", "to": "9999-12-31"}, "from 1900 to 2299"),
]


@pytest.mark.parametrize(("name", "asked", "message"), NONSENSE)
def test_a_question_that_makes_no_sense_is_no_trouble_of_the_store(
    site: Site, name: str, asked: dict[str, Any], message: str
) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        with pytest.raises(QuestionError, match=message):
            await calls(name, asked)
        assert (recorder.store.trouble, recorder.store.errors) == ("", 0)
        assert well(await recorder.figures())

    site.run(body)


def test_a_question_that_makes_no_sense_does_not_make_a_store_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise StoreError("store: away")

    async def body(recorder: Recorder, calls: Calls) -> None:
        await pages(calls)
        with monkeypatch.context() as patched:
            patched.setattr(Store, "users", refused)
            with pytest.raises(StoreError, match="away"):
                await calls("users", {})
        with pytest.raises(QuestionError):
            await calls("breakdown", {"by": "page", "where": "page:/"})
        assert (recorder.store.trouble, recorder.store.errors) == ("store: away", 1)

    site.run(body)


def test_a_day_that_is_closed_is_no_trouble_of_the_store(site: Site) -> None:
    async def body(recorder: Recorder, calls: Calls) -> None:
        later = datetime.combine(DAY + timedelta(days=2), datetime.min.time(), UTC)
        await recorder.store.do(Store.close_day, SITE, DAY, k=5, owner="o", now=later)
        with pytest.raises(DayClosedError):
            await recorder.store.do(Store.salt, SITE, DAY, b"a" * 32)
        assert (recorder.store.trouble, recorder.store.errors) == ("", 0)

    site.run(body)
