"""What the dashboard remembers of answers: for how long, how much, and that failures are none."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from tests.admin import MemoryBackend, admin, person
from vestibule.dashboard import memory
from vestibule.dashboard.memory import PAST, Memory

TODAY = date(2026, 11, 22)


class Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def make(recent: int = 10) -> tuple[Memory, Time]:
    time = Time()
    return Memory(time, lambda: datetime(2026, 11, 22, 12), recent), time


def answer(rows: int) -> dict[str, Any]:
    return {"rows": [{"value": str(number)} for number in range(rows)]}


def test_days_that_are_over_are_remembered_longer() -> None:
    known, time = make()
    known.put("now", TODAY, answer(1))
    known.put("yesterday", date(2026, 11, 21), answer(1))
    known.put("past", date(2026, 11, 20), answer(1))
    time.seconds += 9.9
    assert None not in (known.get("now"), known.get("yesterday"), known.get("past"))
    time.seconds += 0.1
    assert (known.get("now"), known.get("yesterday")) == (None, None)
    time.seconds += PAST - 10.1
    assert known.get("past") is not None
    time.seconds += 0.2
    assert known.get("past") is None


def test_the_longest_unused_go_first_at_the_bound() -> None:
    known, _ = make()
    for name in ("a", "b", "c"):
        known.put(name, TODAY, answer(memory.MOST_ROWS // 4))
    assert known.get("a") is not None
    known.put("d", TODAY, answer(memory.MOST_ROWS // 4))
    assert known.get("b") is None
    assert None not in (known.get("a"), known.get("c"), known.get("d"))
    known.put("e", TODAY, answer(memory.MOST_ROWS))
    assert known.get("e") is None, "what is larger than the bound is not kept"


def test_released_numbers_are_remembered_until_the_next_release() -> None:
    known, time = make()
    first, second = known.stamp({"snapshot": 900, "days": {"closed": 1}}), known.stamp({"snapshot": 950})
    assert None not in (first, second)
    known.put("now", TODAY, answer(1), first)
    known.put("past", date(2026, 11, 20), answer(1), first)
    time.seconds += 60
    assert known.get("now", first) is not None
    assert known.get("past", second) is not None, "what is over is not released again"
    assert known.get("now", second) is None
    known.put("now", TODAY, answer(1), first)
    assert known.get("now", known.stamp({"snapshot": 900, "days": {"closed": 2}})) is None, "a day was closed"
    known.put("now", TODAY, answer(1), first)
    time.seconds += PAST
    assert known.get("now", first) is None


@pytest.mark.parametrize("health", [None, {}, {"snapshot": 0}, {"snapshot": "1"}, {"snapshot": 1000}])
def test_a_release_of_this_second_or_of_nobody_knows_when_is_no_stamp(health: dict[str, Any] | None) -> None:
    known, _ = make()
    assert known.stamp(health) is None


def test_nothing_is_remembered_where_that_is_off() -> None:
    known, _ = make(0)
    known.put("past", date(2026, 11, 1), answer(1))
    assert known.get("past") is None


def test_a_page_that_comes_again_asks_nothing_and_a_failure_is_asked_again() -> None:
    backend = MemoryBackend(people={"ada": person()}, failing={"blocked"})
    with admin(backend, remember=10) as house, house.signed_in() as client:
        client.get("/")
        assert len(backend.asked) > 10
        backend.asked.clear()
        backend.failing = set()
        again = client.get("/")
        assert {asked["kind"] for asked in backend.asked} == {"blocked"}
        assert "trouble" not in again.text
        backend.asked.clear()
        client.get("/")
        assert backend.asked == []
        house.clock.now += 10
        client.get("/")
        released = [asked for asked in backend.asked if asked["method"] == "breakdown" or asked["where"]]
        assert len(backend.asked) > len(released) == 0, "only the totals, which are live"
        backend.asked.clear()
        backend.snapshot += 300
        client.get("/")
        assert len(backend.asked) > 10, "something was released since"
