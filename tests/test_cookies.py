"""What browsers send, what sites set, and how that is changed or removed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_jar import stored
from vestibule.core.cookies import (
    LONGEST,
    Pair,
    SetCookie,
    expiries,
    harden,
    kept,
    parse_cookie,
    removal,
    serialize_cookie,
    temporary,
)


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
        (" a = b ; Max-Age = 5", "a=b; Max-Age=5"),
        ("a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT", "a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT"),
    ],
)
def test_every_attribute_survives(header: str, written: str) -> None:
    cookie = SetCookie.parse(header)
    assert str(cookie) == written


@pytest.mark.parametrize(
    "header",
    ["", "=", "; Path=/", "a", "=a", "a\x01=b", "a=\x7f", "n=" + "x" * 4096, "\x00a=b", "x; a=b"],
)
def test_what_browsers_ignore_and_what_has_no_name(header: str) -> None:
    assert SetCookie.parse(header) is None


@pytest.mark.parametrize("end", ["\x00", "\r", "\n", "\r\nX: y; Domain=evil.example"])
def test_a_header_ends_where_another_could_begin(end: str) -> None:
    assert str(SetCookie.parse(f"a=b; Path=/{end}; HttpOnly")) == "a=b; Path=/"


def test_the_longest_cookie_is_taken() -> None:
    cookie = SetCookie.parse("n=" + "x" * 4095 + "; Path=/" + "y" * 2000)
    assert cookie is not None
    assert cookie.get("path") is None, "an attribute of more than 1,024 bytes is as good as none"


@pytest.mark.parametrize(
    ("attributes", "ends"),
    [
        ("", None),
        ("Max-Age=60", 1060),
        ("Max-Age=0", 0),
        ("Max-Age=-5", 0),
        ("Max-Age=+5", None),
        ("Max-Age=5 0", None),
        ("Max-Age", None),
        ("Max-Age=60; Max-Age=x", 1060),
        ("Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 1060),
        ("Expires=Thu, 01 Jan 1970 00:16:41 GMT", 1001),
        ("Expires=Thu, 01 Jan 1970 00:16:41 GMT; Expires=soon", 1001),
        ("Expires=Wed, 09 Jun 2999 10:18:14 GMT", 1000 + LONGEST),
        ("Max-Age=99999999999999999999", 1000 + LONGEST),
        ("MAX-AGE=" + "9" * 2000, None),
    ],
)
def test_how_long_a_cookie_lives(attributes: str, ends: int | None) -> None:
    cookie = SetCookie.parse(f"a=b; {attributes}")
    assert cookie is not None
    assert cookie.ends(1000) == ends
    assert cookie.removes(1000) == (ends is not None and ends <= 1000)


@pytest.mark.parametrize(
    ("header", "secure", "http_only", "hardened"),
    [
        ("a=b", True, True, "a=b; Secure; HttpOnly; SameSite=Lax"),
        ("a=b", False, False, "a=b; SameSite=Lax"),
        ("a=b; SameSite=Strict; secure; httponly", True, True, "a=b; SameSite=Strict; secure; httponly"),
        ("a=b; SameSite=None; Secure", True, False, "a=b; SameSite=None; Secure"),
        ("a=b; SameSite=whatever", False, False, "a=b; SameSite=Lax"),
        ("csrftoken=b", True, True, "csrftoken=b; Secure; SameSite=Lax"),
        ("__Host-XSRF-TOKEN=b", True, True, "__Host-XSRF-TOKEN=b; Secure; SameSite=Lax"),
        ("a=b; Priority=High; X=1", False, True, "a=b; Priority=High; X=1; HttpOnly; SameSite=Lax"),
    ],
)
def test_a_necessary_cookie_is_made_stricter_and_never_weaker(
    header: str, secure: bool, http_only: bool, hardened: str
) -> None:
    cookie = SetCookie.parse(header)
    assert cookie is not None
    assert str(harden(cookie, secure=secure, http_only=http_only)) == hardened


def test_a_session_is_temporary_or_kept() -> None:
    cookie = SetCookie.parse("s=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT; Path=/; max-age=9")
    assert cookie is not None
    assert str(temporary(cookie)) == "s=1; Path=/"
    assert str(kept(cookie, 60)) == "s=1; Path=/; Max-Age=60"


@pytest.mark.parametrize(
    "life",
    [
        "Max-Age=0",
        "max-age=0; MAX-AGE=x",
        "Max-Age=0; Max-Age=",
        "Max-Age=-1; Max-Age=+500",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=junk",
        "Max-Age=0; Max-Age=" + "9" * 1100,
    ],
)
def test_a_removal_is_one_for_all_browsers(life: str) -> None:
    """Chromium goes by the last attribute of a name, though it cannot read that, and reads ``+500``."""
    cookie = SetCookie.parse(f"a=secret; {life}; Path=/app; Secure")
    assert cookie is not None
    assert cookie.removes(1000)
    assert str(removal(cookie)) == "a=; Path=/app; Secure; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"


latin_line = st.text(st.characters(max_codepoint=255, blacklist_characters="\x00\r\n"), max_size=60)


@given(latin_line)
def test_parsing_what_was_written_changes_nothing(header: str) -> None:
    cookie = SetCookie.parse(header)
    assert cookie is None or SetCookie.parse(str(cookie)) == cookie


@given(latin_line, latin_line, st.booleans(), st.booleans())
def test_no_cookie_becomes_another_by_our_doing(value: str, attributes: str, secure: bool, http_only: bool) -> None:
    cookie = SetCookie.parse(f"name={value}; {attributes}")
    if cookie is not None:
        for changed in (harden(cookie, secure=secure, http_only=http_only), temporary(cookie), kept(cookie, 5)):
            again = SetCookie.parse(str(changed))
            assert again is not None
            assert (again.name, again.value) == (cookie.name, cookie.value)
            assert not set(str(changed)) & set("\r\n\0")


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


def test_a_cookie_is_expired_wherever_it_may_have_been_set() -> None:
    headers = expiries("_ga", "www.shop.relaso.com", "relaso.com", "/blog/2026/x", secure=True)
    assert len(headers) == len(set(headers))
    for domain in ("", "; Domain=www.shop.relaso.com", "; Domain=shop.relaso.com", "; Domain=relaso.com"):
        for path in ("/", "/blog", "/blog/2026"):
            assert f"_ga=; Path={path}{domain}; Max-Age=0" in headers
    assert not any("Domain=com" in header for header in headers)


def test_a_host_cookie_is_expired_as_browsers_demand() -> None:
    assert expiries("__Host-x", "relaso.com", "relaso.com", "/a/b", secure=True) == (
        "__Host-x=; Path=/; Max-Age=0; Secure",
        "__Host-x=; Path=/; Max-Age=0; Secure; Partitioned",
    )


@pytest.mark.parametrize(
    "header",
    [
        "x=1; Secure; Path=/; Partitioned",
        "__Http-x=1; Secure; HttpOnly; Path=/",
        "__Host-Http-x=1; Secure; HttpOnly; Path=/",
        "__Host-Http-x=1; Secure; HttpOnly; Path=/; Partitioned",
        "__host-x=1; Secure; Path=/",
        "__SECURE-x=1; Secure; Path=/a; Domain=relaso.com",
    ],
)
def test_what_expires_a_cookie_is_taken_by_browsers(header: str) -> None:
    before = stored(header)
    assert before is not None
    removals = [stored(each) for each in expiries(before.name, "www.relaso.com", "relaso.com", "/a/b", secure=True)]
    same = [
        each
        for each in removals
        if each is not None
        and (each.name, each.domain, each.host_only, each.path, each.partitioned)
        == (before.name, before.domain, before.host_only, before.path, before.partitioned)
    ]
    assert [each.ends for each in same] == [0]


def test_on_plain_http_no_removal_asks_for_https() -> None:
    assert not [each for each in expiries("x", "relaso.com", "relaso.com", "/a/b", secure=False) if "Secure" in each]


def test_pairs_are_written_as_they_came() -> None:
    assert serialize_cookie([Pair("a", "1"), Pair("", "x")]) == "a=1; x"
    assert str(Pair("", "x")) == "x"


@pytest.mark.parametrize("value", ["", "=", "session=forged"])
def test_what_has_no_name_gets_none_by_being_written(value: str) -> None:
    assert parse_cookie(serialize_cookie([Pair("a", "1"), Pair("", value)])) == (Pair("a", "1"), Pair("", value))
    assert str(Pair("", value)) == f"={value}"


def read_plainly(header: str) -> list[tuple[str, str]]:
    """The standard's words, one after the other."""
    pairs = []
    for part in header.split(";"):
        name, equals, value = part.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if equals:
            pairs.append((name, value))
        elif name:
            pairs.append(("", name))
    return pairs


@given(st.text(st.sampled_from('ab=; \t,"é'), max_size=20))
def test_tidy_headers_are_read_like_all_others(header: str) -> None:
    assert [tuple(pair) for pair in parse_cookie(header)] == read_plainly(header)
