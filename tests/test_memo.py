"""Answers that are remembered, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from vestibule.core.memo import Alike, Memo, Recent, Same


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ("", ""),
        ("aaaa", "a"),
        ("abcabc", "abc"),
        ("abcdabc", "abcdabc"),  # the fourth has all three forgotten
        ("abcda", "abcda"),
    ],
)
def test_a_memo_asks_once_for_each_key_until_it_forgets_them_all(keys: str, asked: str) -> None:
    calls: list[str] = []

    def shout(key: str) -> str:
        calls.append(key)
        return key.upper()

    memo = Memo(shout, 3)
    assert [memo(key) for key in keys] == list(keys.upper())
    assert "".join(calls) == asked
    assert len(memo) <= 3


def test_an_answer_may_be_nothing_and_a_failure_is_none() -> None:
    calls: list[int] = []

    def half(key: int) -> int | None:
        calls.append(key)
        return 12 // key if key > 1 else 12 // key and None

    memo = Memo(half, 3)
    assert [memo(1), memo(1), memo(4)] == [None, None, 3]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            memo(0)
    assert calls == [1, 4, 0, 0]


def test_a_memo_that_asks_itself() -> None:
    def length(values: tuple[int, ...]) -> int:
        return 1 + memo(values[1:]) if values else 0

    memo: Memo[tuple[int, ...], int] = Memo(length, 2)
    assert memo((1, 2, 3, 4)) == 4
    assert len(memo) <= 2


@pytest.mark.parametrize(
    ("times", "found"),
    [((0, 5), True), ((0, 10), True), ((0, 10.5), False), ((20, 19), False)],
    ids=str,
)
def test_recent_answers_are_forgotten_after_their_time(times: Sequence[float], found: bool) -> None:
    recent: Recent[str, int] = Recent(2, 10)
    assert recent.get("a", times[0]) is None
    recent.put("a", 1)
    assert (recent.get("a", times[1]) == 1) is found


def test_recent_answers_are_bounded() -> None:
    recent: Recent[int, int] = Recent(2, 10)
    for number in range(5):
        recent.put(number, number)
        assert len(recent) <= 2


def test_tuples_are_known_by_which_one_they_are() -> None:
    calls: list[tuple[object, ...]] = []

    def total(fields: Iterable[int], more: int) -> int:
        calls.append((fields, more))
        return sum(fields) + more

    alike = Alike(total, 3)
    one, other = (tuple(map(int, "12")) for _ in range(2))
    assert one is not other
    assert [alike(one, 0), alike(one, 0), alike(one, 1), alike(other, 0), alike(one, 1)] == [3, 3, 4, 3, 4]
    assert len(calls) == 3


@pytest.mark.parametrize(
    "make", [lambda: [1], lambda: ([1],), lambda: iter([1])], ids=["list", "holds a list", "iterator"]
)
def test_what_can_change_is_asked_anew(make: Callable[[], Any]) -> None:
    fields, calls = make(), []
    alike: Alike[int, None] = Alike(lambda given, _: calls.append(given), 3)
    for _ in range(3):
        alike(fields, 0)
    assert len(calls) == 3


def test_no_tuple_is_taken_for_one_that_is_gone() -> None:
    alike: Alike[int, tuple[int, ...]] = Alike(lambda given, _: tuple(given), 1000)
    for number in range(2000):
        assert alike((number, number), 0) == (number, number)
        assert len(alike._known) <= 1000


def test_the_same_tuple_from_another_is_another_question() -> None:
    same: Same[str] = Same(2, 10)
    fields = ((b"a", b"b"),)
    same.put(fields, "one", "first")
    assert same.get(fields, "one", 5) == "first"
    assert same.get(fields, "two", 5) is None
    assert same.get((fields[0],), "one", 5) is None
    assert same.get(fields, "one", 10.5) is None
