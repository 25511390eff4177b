"""Filters in Adblock syntax, each held against addresses: what it closes, and what becomes of what cannot be read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.blocklist import FilterList
from vestibule.core.filters import Filter, Matcher, UnreadableError, read
from vestibule.core.html.elements import KINDS
from vestibule.core.patterns import tidy_path

SITE = ("site.example", "www.site.example", "site.de")


def compile_(expression: str, match_case: bool) -> Matcher:
    """Python's own engine will do for the expressions of tests."""
    try:
        return re.compile(expression, 0 if match_case else re.IGNORECASE)
    except re.error as error:
        raise ValueError(str(error)) from None


def is_own(host: str) -> bool:
    return any(host == name or host.endswith("." + name) for name in ("site.example", "site.de"))


def listed(*lines: str) -> FilterList:
    read_ = (read(line, f"list.txt:{number}", SITE, compile_) for number, line in enumerate(lines, 1))
    return FilterList((one for one in read_ if one is not None), is_own)


def closed(lines: str | tuple[str, ...], address: str, kind: str = "script") -> bool:
    host, slash, path = address.partition("/")
    return listed(*([lines] if isinstance(lines, str) else lines)).rule(host, slash + path, kind) is not None


CASES = [
    # The host and everything below it; ^ is a separator or the end.
    ("||ads.example^", "ads.example/x.js", "sub.ads.example/", "badads.example/ ads.example.net/ ads.example.evil/"),
    ("||ads.example/banner", "ads.example/banner/1.gif", "ads.example/banners", "ads.example/x ads.example/x/banner"),
    ("||ads.", "ads.site.example/", "x.ads.net/", "bads.net/"),
    ("||.ads.example^", "ads.example/", "x.ads.example/", "example/"),
    ("||ads.example.^", "ads.example/", "x.ads.example/", "example/"),
    ("||ADS.Example^", "ads.example/", "x.ads.example/", "example/"),
    ("||ads.example:443^", "ads.example/", "ads.example/x", "example/"),
    ("||ads.example:8080/x", "ads.example:8080/x", "a.ads.example:8080/xy", "ads.example/x ads.example:808/x"),
    ("||ads.example^", "ads.example:8080/x", "ads.example/?q", "x.example/"),
    ("||[::1]^", "[::1]/", "[::1]/x", "[::2]/"),
    ("||münchen.example^", "xn--mnchen-3ya.example/", "a.xn--mnchen-3ya.example/", "munchen.example/"),
    # Any part of the address; anchors; wildcards.
    ("/ad/*/img^", "x.example/ad/a/img", "x.example/ad/a/b/img?x", "x.example/ad/img x.example/ad/a/imgs"),
    ("-ad-300.", "x.example/a-ad-300.gif", "x.example/-ad-300.png", "x.example/ad-300.gif"),
    ("|https://x.example/a", "x.example/a", "x.example/ab", "y.example/x.example/a"),
    ("|http://x.example/a", "x.example/a", "x.example/ab", "y.example/?u=http://x.example/"),
    ("swf|", "x.example/a.swf", "x.example/swf", "x.example/a.swf?x"),
    ("ads*track|", "x.example/ads/track", "ads.example/1/track", "x.example/track/ads x.example/ads/track/"),
    ("://track.", "track.example/", "track.x.example/", "x.track.example/"),
    ("/größe/", "x.example/gr%C3%B6%C3%9Fe/", "x.example/gr%c3%b6%c3%9fe/", "x.example/grosse/"),
    ("/pixel?id=", "x.example/pixel?id=1", "x.example/a/pixel?id=", "x.example/pixel?x"),
    ("tracker.example", "tracker.example/", "x.example/?u=tracker.example", "track.example/"),
    ("&ad_box_", "x.example/?a&ad_box_=1", "x.example/?&AD_BOX_", "x.example/?ad_box_"),
    # Expressions.
    (r"/^https:\/\/[a-z]{3}\.example\/\d+$/", "abc.example/12", "ABC.example/1", "abcd.example/1 abc.example/1a"),
    (r"/\/t\d\.js/$script", "x.example/t1.js", "x.example/T2.JS", "x.example/t.js"),
    (r"/Ad/$match-case", "x.example/Ad", "x.example/aAd", "x.example/ad"),
    ("/AdBox.$match-case", "x.example/AdBox.js", "x.example/1/AdBox.js", "x.example/adbox.js"),
    ("||Ads.Example/AdBox$match-case", "ads.example/AdBox", "ads.example/AdBox2", "ads.example/adbox"),
    # Unescaped, as a careless server reads it.
    ("/ads/", "x.example/%61ds/1", "x.example/x//ads//", "x.example/ad/"),
    # An option in the middle of an address is none.
    ("/get$ad.js", "x.example/get$ad.js", "x.example/1/get$ad.js", "x.example/get"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "first", "second", "others"), CASES)
def test_addresses(line: str, first: str, second: str, others: str) -> None:
    assert closed(line, first)
    assert closed(line, second)
    for other in others.split():
        assert not closed(line, other), other


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ("", "script style image icon media frame object manifest hint form ping navigate csp websocket"),
        ("$script", "script hint websocket"),
        ("$image,media", "image icon media hint websocket"),
        ("$stylesheet", "style hint websocket"),
        ("$css", "style hint websocket"),
        ("$subdocument", "frame form hint websocket"),
        ("$ping", "ping csp hint websocket"),
        ("$document", "navigate form hint websocket"),
        ("$~script", "style image icon media frame object manifest hint form ping navigate csp websocket"),
        ("$~script,~image", "style icon media frame object manifest hint form ping navigate csp websocket"),
        ("$all", "script style image icon media frame object manifest hint form ping navigate csp websocket"),
        ("$popup", ""),
        ("$popup,script", "script hint websocket"),
        ("$csp=script-src 'none'", ""),
        ("$script,removeparam=utm_source", ""),
        ("$redirect-rule=noop.js", ""),
        ("$badfilter", ""),
        ("$script,redirect=noop.js", "script hint websocket"),
        # What is unknown is left out, which closes more.
        ("$script,header=x:y", "script hint websocket"),
        ("$newfangled", "script style image icon media frame object manifest hint form ping navigate csp websocket"),
    ],
)
def test_kinds(options: str, kinds: str) -> None:
    """A hint may be for anything, and so may a kind that nobody knows."""
    every = (*KINDS, "csp", "websocket")
    made = listed("||ads.example^" + options)
    assert {kind for kind in every if made.rule("ads.example", "/", kind)} == set(kinds.split())


@pytest.mark.parametrize(
    ("options", "foreign", "own"),
    [
        ("third-party", True, False),
        ("3p", True, False),
        ("~third-party", False, True),
        ("first-party", False, True),
        ("~1p", True, False),
        ("strict3p", True, True),
        # On whose pages: the filter counts if it does on any of the site's hosts.
        ("domain=site.example", True, True),
        ("domain=other.example|site.de", True, True),
        ("domain=other.example", False, False),
        ("from=example", True, True),
        ("domain=~other.example", True, True),
        ("domain=~site.example", True, True),  # site.de is left
        ("domain=~site.example|~site.de", False, False),
        ("domain=site.*", True, True),
        ("domain=other.*", False, False),
        ("domain=~site.*", True, True),  # in doubt it is not excluded
        ("domain=/site\\.(example|de)/", True, True),
        ("domain=~/a|b/", True, True),
        ("denyallow=cdn.example", True, True),
        ("denyallow=x.example|track.example", False, True),
    ],
)
def test_parties_and_sites(options: str, foreign: bool, own: bool) -> None:
    line = f"/track.js${options}"
    assert closed(line, "sub.track.example/track.js") is foreign
    assert closed(line, "www.site.example/track.js") is own


def test_the_sites_own_pages_are_never_closed_to_visitors() -> None:
    lines = ("/track.js", "||www.site.example^")
    for kind in ("navigate", "form"):
        assert closed(lines, "track.example/track.js", kind)
        assert not closed(lines, "www.site.example/track.js", kind)
    assert closed(lines, "www.site.example/track.js", "frame")


@pytest.mark.parametrize(
    ("exception", "closed_still"),
    [
        ("@@||ads.example/fine/", False),
        ("@@||ads.example^$script", False),
        ("@@||ads.example^$image", True),
        ("@@||ads.example^$script,domain=site.example|site.de", False),
        ("@@||ads.example^$script,domain=site.example", True),  # not on all of the site's hosts
        ("@@||ads.example^$domain=site.*", True),  # in doubt
        ("@@||ads.example^$domain=/site/", True),
        ("@@||ads.example^$newfangled", True),
        ("@@||ads.example^$document", True),
        ("@@||ads.example^$generichide", True),
        ("@@||ads.example^$csp", True),
        ("@@||ads.example^$~third-party", True),
        ("@@/(/", True),
    ],
)
def test_exceptions_in_doubt_do_not_count(exception: str, closed_still: bool) -> None:
    assert closed(("||ads.example^", exception), "ads.example/fine/x.js") is closed_still


def test_an_exception_holds_for_all_readings_of_a_path_and_against_all_but_important_filters() -> None:
    lines = ("||ads.example^", "@@||ads.example/fine/")
    assert closed(lines, "ads.example/fine/%2e%2e/x.js")
    assert not closed(lines, "ads.example/fine/x.js")
    assert closed((*lines, "||ads.example^$important"), "ads.example/fine/x.js")
    assert closed((*lines, "@@||ads.example^$script"), "ads.example/other", "hint"), "a hint may be for anything"


def test_a_rule_says_where_it_stands() -> None:
    made = listed("! title", "", "||ads.example^$third-party")
    assert made.rule("x.ads.example", "/", "script") == "list.txt:3: ||ads.example^$third-party"


@pytest.mark.parametrize(
    "line",
    [
        "! comment",
        "!#if env_mobile",
        "[Adblock Plus 2.0]",
        "# comment",
        "#",
        "",
        "example.com##.ad",
        "##div[id^=ad]",
        "example.com#@#.ad",
        "example.com#?#div:has(.ad)",
        "example.com#$#abort-on-property-read x",
        "example.com#%#//scriptlet('x')",
        "example.com#@$?#x",
        "example.com$$script[data-src]",
        "@@||example.com^$elemhide",
        "/x/$domain=elsewhere.example",
        "/((/$domain=elsewhere.example",
        "*$removeparam=utm_source",
        "@@*$ghide",
    ],
)
def test_what_closes_nothing_is_passed_over(line: str) -> None:
    assert read(line, "x:1", SITE, compile_) is None


@pytest.mark.parametrize("line", ["||ads.example^$~third-party!", "/get$it.js", "/a$b/", "/x(a$|b=c/d)/"])
def test_a_dollar_that_begins_no_options_is_part_of_the_address(line: str) -> None:
    one = read(line, "x:1", SITE, compile_)
    assert one is not None
    assert one.pattern == line


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0.0.0.0 ads.example", "space"),
        ("||ads example^", "space"),
        ("||ads.example^\0", "control character"),
        ("||ads.example^$script,,third-party", "options"),
        ("||ads.example^$ script", "space"),
        ("||ads.example^$domain=a.example,", "options"),
        ("/(/", "regular expression"),
        ("/[a-/$third-party", "regular expression"),
        ("*", "every address"),
        ("||", "every address"),
        ("|", "every address"),
        ("$newfangled", "every address"),
        ("*$newfangled,script", "every address"),
        ("||\u00ad^", "host"),
        ("!#include other.txt", "includes another list"),
    ],
)
def test_what_has_no_safe_reading_is_refused(line: str, problem: str) -> None:
    with pytest.raises(UnreadableError, match=problem):
        read(line, "x:1", SITE, compile_)


@pytest.mark.parametrize("line", ["$script,third-party", "*$third-party", "|https://$image", "*$domain=site.example"])
def test_every_address_of_a_kind(line: str) -> None:
    assert closed(line, "x.example/y", "image") is ("script" not in line)


# The list and each of its filters agree: what is looked up by host or word is what would be found by trying them all.

letters = st.sampled_from("ab.-/*^|?_1")
addresses = st.builds(
    lambda host, path: host + "/" + path,
    st.sampled_from(["a.b", "aab.b1b", "b.aab.b1b", "xn--aaa.b", "aaa.aaa"]),
    st.text("ab.-/?_1", max_size=12),
)


lines_ = st.builds(
    lambda begin, rest: begin + rest,
    st.sampled_from(["", "|", "||", "/aab", "||aab.b1b"]),
    st.text(letters, max_size=8),
)


@given(st.lists(lines_, max_size=6), addresses)
def test_nothing_is_lost_in_looking_up(lines: list[str], address: str) -> None:
    filters: list[Filter] = []
    for line in lines:
        try:
            one = read(line, "x:1", SITE, compile_)
        except UnreadableError:
            continue
        filters += [one] if one is not None else []
    host, slash, path = address.partition("/")
    found = FilterList(filters, is_own).rule(host, slash + path, "script")
    readings = {slash + path, tidy_path(slash + path)}
    assert (found is not None) == any(one.matches(f"https://{host}{each}") for one in filters for each in readings)


@given(st.text(max_size=40))
def test_whatever_a_line_holds_it_is_read_or_refused(line: str) -> None:
    try:
        one = read(line, "x:1", SITE, compile_)
    except UnreadableError:
        return
    if one is not None:
        one.matches("https://x.example/")


def test_asterisks_take_no_more_than_linear_time() -> None:
    line = "/" + "a*" * 40 + "b|"
    one = read(line, "x:1", SITE, compile_)
    assert one is not None
    assert not one.matches("https://x.example/" + "a" * 50_000)
