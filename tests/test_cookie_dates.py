"""Dates in cookies, as browsers read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.cookie_dates import parse_date


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Wed, 09 Jun 2021 10:18:14 GMT", 1623233894),
        ("Wednesday, 09-Jun-21 10:18:14 GMT", 1623233894),
        ("Wed Jun  9 10:18:14 2021", 1623233894),
        ("9 jun 2021 10:18:14", 1623233894),
        ("10:18:14 2021 June 9th", 1623233894),
        ("Wed, 09 Jun 2021 10:18:14 +0500", 1623233894),
        ("1 Jan 70 0:0:0", 0),
        ("1-Jan-69 00:00:00", 3124224000),
        ("29 Feb 2024 00:00:00", 1709164800),
        ("29 Feb 2023 00:00:00", None),
        ("31 Apr 2024 00:00:00", None),
        ("0 Jan 2024 00:00:00", None),
        ("1 Jan 1600 00:00:00", None),
        ("1 Jan 2024 24:00:00", None),
        ("1 Jan 2024 00:60:00", None),
        ("1 Jan 2024", None),
        ("00:00:00 Jan 2024", None),
        ("1 Foo 2024 00:00:00", None),
        ("", None),
        ("never", None),
        ("9 jun 2021 10:18:14" + " " * 300, None),
    ],
)
def test_dates_in_all_forms(text: str, date: int | None) -> None:
    assert parse_date(text) == date


@given(st.text(max_size=80))
def test_whatever_is_said_is_a_date_or_none(text: str) -> None:
    found = parse_date(text)
    assert found is None or found > -12_000_000_000
