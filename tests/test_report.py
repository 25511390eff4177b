"""The report: its days, its forms, hostile values."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from vestibule.dashboard import report as reports
from vestibule.dashboard.periods import Period
from vestibule.dashboard.words import Words

WEEK = Period("custom", date(2026, 11, 9), date(2026, 11, 15))
TOTALS = {"view": (12345, 10000), "visit": (400, 0), "error": (3, 6), "blocked": (0, 0)}


def breakdown(*values: str) -> dict[str, Any]:
    return {"rows": [{"value": value, "count": 900 - index, "visitors": 9} for index, value in enumerate(values)]}


def made(*sources: str, language: str = "en") -> reports.Report:
    tops = [breakdown(*sources), breakdown("/", "/pricing"), breakdown("DE")]
    return reports.compose("relaso.com", 5, WEEK, TOTALS, tops, Words(language))


@pytest.mark.parametrize(
    ("span", "today", "start", "end"),
    [
        ("week", date(2026, 11, 22), date(2026, 11, 9), date(2026, 11, 15)),
        ("week", date(2026, 11, 23), date(2026, 11, 16), date(2026, 11, 22)),
        ("week", date(2027, 1, 1), date(2026, 12, 21), date(2026, 12, 27)),
        ("month", date(2026, 11, 1), date(2026, 10, 1), date(2026, 10, 31)),
        ("month", date(2026, 3, 31), date(2026, 2, 1), date(2026, 2, 28)),
        ("month", date(2027, 1, 15), date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_the_last_whole_span(span: str, today: date, start: date, end: date) -> None:
    assert (reports.last(span, today).start, reports.last(span, today).end) == (start, end)


def test_a_month_is_compared_with_the_month_before() -> None:
    february = reports.last("month", date(2026, 3, 5))
    assert reports.before(february) == Period("custom", date(2026, 1, 1), date(2026, 1, 31))
    assert reports.before(WEEK) == Period("custom", date(2026, 11, 2), date(2026, 11, 8))


@pytest.mark.parametrize(("since", "compared"), [(2, True), (3, True), (4, False), (8, False)])
def test_days_before_counting_began_are_not_compared_with(since: int, compared: bool) -> None:
    before = {kind: {f"2026-11-{day:02}": 100 for day in range(since, 9)} for kind in reports.KINDS}
    now = {kind: {f"2026-11-{day:02}": 110 for day in range(9, 16)} for kind in reports.KINDS}
    found = reports.totals(now, before, reports.before(WEEK))
    assert found["visit"] == (770, 100 * (9 - since) if compared else 0)
    told = reports.to_text(reports.compose("relaso.com", 5, WEEK, found, [breakdown()] * 3, Words()))
    assert ("%" in told) is compared


def test_text_says_numbers_changes_and_what_is_not_shown() -> None:
    text = reports.to_text(made("internal", "direct", "search: Google"))
    assert text.splitlines()[0] == "relaso.com, 9 – 15 Nov 2026"
    assert "12,345  +23 %" in text
    assert "Visits                   400\n" in text
    assert "-50 %" in text
    assert "Google" in text
    assert "Within the site" not in text
    assert "fewer than 5 visitors" in text
    assert "Deutschland" in reports.to_text(made("direct", language="de"))


@given(st.lists(st.text(max_size=60), max_size=4))
def test_values_harm_no_form(sources: list[str]) -> None:
    report = made("<script>alert(1)</script>", "*bold* <!channel> ```", *sources)
    tree = LexborHTMLParser(reports.to_html(report))
    assert not tree.css("script, img, link")
    slack = json.loads(reports.to_slack(report))["text"]
    assert slack.startswith("```\n")
    assert slack.endswith("```")
    assert slack.count("```") == 2
    assert "<!channel>" not in slack


def test_a_mail_has_both_forms() -> None:
    parsed = email.message_from_bytes(reports.to_mail(made("direct"), "team@relaso.com"), policy=email.policy.default)
    assert parsed["to"] == "team@relaso.com"
    assert parsed["subject"] == "relaso.com, 9 – 15 Nov 2026"
    assert [part.get_content_type() for part in parsed.walk()][1:] == ["text/plain", "text/html"]


@pytest.mark.parametrize("address", ["", "x", "@x", "x@", "a@b\r\nBcc: c@d", "a@b,c@d", "A <a@b>"])
def test_a_mail_goes_to_one_address(address: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        reports.to_mail(made("direct"), address)
