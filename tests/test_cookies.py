from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.consent import Choice, Purpose, State
from vestibule.core.cookies import (
    CookiePolicy,
    Pair,
    SetCookie,
    expiries,
    parse_cookie,
    serialize_cookie,
)

STATISTICS = Choice(frozenset({Purpose.STATISTICS}), "1", 0)


@pytest.mark.parametrize(
    ("header", "pairs"),
    [
        ("a=1; b=2", [("a", "1"), ("b", "2")]),
        ("a=1;b=2;;", [("a", "1"), ("b", "2")]),
        (" a = 1 ; b", [("a", "1"), ("", "b")]),
        ("a=b=c", [("a", "b=c")]),
        ("=v", [("", "v")]),
        ('q="x y"', [("q", '"x y"')]),
        ("a=1; a=2", [("a", "1"), ("a", "2")]),
        ("", []),
    ],
)
def test_what_browsers_send(header: str, pairs: list[tuple[str, str]]) -> None:
    assert [(pair.name, pair.value) for pair in parse_cookie(header)] == pairs


latin = st.text(st.characters(max_codepoint=255), max_size=60)


@given(latin)
def test_reading_and_writing_is_stable(header: str) -> None:
    once = serialize_cookie(parse_cookie(header))
    assert serialize_cookie(parse_cookie(once)) == once


@pytest.mark.parametrize(
    ("header", "written"),
    [
        ("a=1", "a=1"),
        ("a=1; Path=/; HttpOnly", "a=1; Path=/; HttpOnly"),
        ("a=1;path=/;SAMESITE=lax;Priority=High;X", "a=1; path=/; SAMESITE=lax; Priority=High; X"),
        ("a", "a"),
        (" a = b ; Max-Age = 5", "a=b; Max-Age=5"),
        ("a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT", "a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT"),
    ],
)
def test_every_attribute_survives(header: str, written: str) -> None:
    cookie = SetCookie.parse(header)
    assert str(cookie) == written


@pytest.mark.parametrize("header", ["", "=", "; Path=/", "a=\x00", "a=b\r\nX: y", "n=" + "x" * 5000])
def test_what_browsers_ignore(header: str) -> None:
    assert SetCookie.parse(header) is None


@given(latin)
def test_no_cookie_splits_an_answer(header: str) -> None:
    cookie = SetCookie.parse(header)
    assert cookie is None or not set(str(cookie)) & set("\r\n\0")


def test_the_last_attribute_of_a_name_counts() -> None:
    cookie = SetCookie.parse("a=1; Max-Age=5; max-age=9; Secure")
    assert cookie is not None
    assert (cookie.get("MAX-AGE"), cookie.get("secure"), cookie.get("path")) == ("9", "", None)
    assert str(cookie.replace("Max-Age", None)) == "a=1; Secure"
    assert str(cookie.replace("Max-Age", "1")) == "a=1; Secure; Max-Age=1"


def known(name: str) -> tuple[str, Purpose, State] | None:
    return {
        "_ga": ("google-analytics", Purpose.STATISTICS, State.ASK),
        "_fbp": ("meta-pixel", Purpose.MARKETING, State.BLOCK),
        "__stripe_mid": ("stripe", Purpose.NECESSARY, State.ASK),
    }.get(name)


POLICY = CookiePolicy(
    {"session": Purpose.NECESSARY, "ui_*": Purpose.PREFERENCES, "[x]?": Purpose.NECESSARY}, known, State.BLOCK
)


@pytest.mark.parametrize(
    ("name", "choice", "passes", "rule"),
    [
        ("session", None, True, "cookies.declare.session: necessary"),
        ("ui_theme", None, False, "cookies.declare.ui_*: preferences"),
        ("_ga", None, False, "catalogue: a cookie of google-analytics"),
        ("_ga", STATISTICS, True, "catalogue: a cookie of google-analytics"),
        ("_fbp", STATISTICS, False, "catalogue: a cookie of meta-pixel"),
        ("__stripe_mid", None, True, "catalogue: a cookie of stripe"),
        ("unheard", STATISTICS, False, "cookies.unknown: block"),
        ("[x]?", None, True, "cookies.declare.[x]?: necessary"),
        ("SESSION", None, False, "cookies.unknown: block"),
    ],
)
def test_which_cookies_pass(name: str, choice: Choice | None, passes: bool, rule: str) -> None:
    verdict = POLICY.decide(name)
    assert (verdict.passes(choice), verdict.rule) == (passes, rule)


def test_unknown_cookies_may_be_asked_for_or_allowed() -> None:
    everything = Choice(frozenset({Purpose.MARKETING}), "1", 0)
    ask = CookiePolicy({}, known, State.ASK).decide("unheard")
    assert (ask.passes(None), ask.passes(STATISTICS), ask.passes(everything)) == (False, False, True)
    assert CookiePolicy({}, known, State.ALLOW).decide("unheard").passes(None)


def test_a_cookie_is_expired_wherever_it_may_have_been_set() -> None:
    headers = expiries("_ga", "www.shop.relaso.com", "relaso.com", "/blog/2026/x", secure=True)
    assert len(headers) == len(set(headers))
    for domain in ("", "; Domain=www.shop.relaso.com", "; Domain=shop.relaso.com", "; Domain=relaso.com"):
        for path in ("/", "/blog", "/blog/2026"):
            assert f"_ga=; Path={path}{domain}; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Secure" in headers
    assert not any("Domain=com" in header for header in headers)


def test_a_host_cookie_is_expired_as_browsers_demand() -> None:
    assert expiries("__Host-x", "relaso.com", "relaso.com", "/a/b", secure=True) == (
        "__Host-x=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Secure",
    )


def test_pairs_are_written_as_they_came() -> None:
    assert serialize_cookie([Pair("a", "1"), Pair("", "x")]) == "a=1; x"
