"""Reading archived days and others: together they tell what one query over both would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_store import DAY, SITE
from vestibule.core.release import RARE
from vestibule.store.questions import Breakdown
from vestibule.store.reading import FEWEST, Value, _largest, filter_of
from vestibule.store.settled import Settled

NAMES = [RARE, *(f"/{number}" for number in range(30))]
counts = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9), max_size=len(NAMES))


def ranked(found: dict[str, int]) -> list[Value]:
    values = (Value(name, False, count, count, False) for name, count in found.items())
    return sorted(values, key=lambda value: value.place)


@given(counts, counts, st.integers(1, 8), st.integers(16, 40))
def test_the_largest_of_both_are_exact_or_not_told(
    settled: dict[str, int], live: dict[str, int], limit: int, most: int
) -> None:
    both = {name: settled.get(name, 0) + live.get(name, 0) for name in {*settled, *live}}
    found = _largest(ranked(settled)[:most], ranked(live)[:most], limit, most)
    if found is not None:
        assert [(value.name, value.facts) for value in found] == [
            (value.name, value.facts) for value in ranked(both)[:limit]
        ]
    elif max(len(settled), len(live)) < most:
        pytest.fail("all of both is known")


def test_a_long_tail_needs_not_be_known() -> None:
    settled = {f"/{number}": 10_000 // (1 + number) for number in range(5 * FEWEST)}
    live = {f"/{number}": 40 // (1 + number % 7) for number in range(0, 5 * FEWEST, 13)}
    found = _largest(ranked(settled)[:FEWEST], ranked(live), 10, FEWEST)
    assert found is not None
    assert [value.name for value in found] == [f"/{number}" for number in range(10)]


def test_the_root_s_remainder_is_a_filter_of_its_own() -> None:
    def where(value: str) -> tuple[str, str, bool]:
        question = Breakdown(site=SITE, kind="view", by="page", start=DAY, end=DAY, where=("country", value))
        return filter_of(question)

    assert where("DE") == ("country", "DE", True)
    assert where("Europe (others)") == ("country", "Europe", False)
    assert where(RARE) == ("country", RARE, False)


def test_what_is_settled_is_read_once_bounded_and_for_a_while() -> None:
    now, read = 0.0, 0

    def rows() -> list[list[int]]:
        nonlocal read
        read += 1
        return [[read]] * 3

    settled = Settled(lambda: now, most=10)
    assert [settled.get("a", rows) for _ in range(3)] == [None, [[1]] * 3, [[1]] * 3]
    assert [settled.get("b", rows) for _ in range(2)] == [None, [[2]] * 3]
    settled.get("a", rows)
    assert [settled.get("c", rows) for _ in range(2)] == [None, [[3]] * 3]
    assert len(settled) <= 10
    assert settled.get("a", rows) == [[1]] * 3
    assert settled.get("b", rows) is None, "it was used longest ago"
    now = 600.0
    assert settled.get("a", rows) is None
    now = 1300.0
    assert settled.get("d", rows) is None
    assert len(settled) == 1, "what is not asked for any more is forgotten"
    settled.clear()
    assert len(settled) == 0
