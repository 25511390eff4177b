"""Signatures of inline scripts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vestibule.core.html.compiled import COMPILED
from vestibule.core.signatures import Signatures, check, key, literal_prefix


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"fbq\(", "fbq("),
        (r"fbq\(\s{0,9}['\"]init", "fbq("),
        (r"google\.com/recaptcha/", "google.com/recaptcha/"),
        (r"abcd?", "abc"),
        (r"abcd{2}", "abc"),
        (r"abc\(?", "abc"),
        (r"abc\d", "abc"),
        (r"abc|def", "abc"),
        (r"(abc)", ""),
        ("abc\\", "abc"),
    ],
)
def test_literal_prefix(pattern: str, literal: str) -> None:
    assert literal_prefix(pattern) == literal


def test_the_longest_word_is_the_key() -> None:
    assert key("static.hotjar.com") == "static"
    assert key("window.plausible") == "plausible"
    assert key("$crisp=[]") == "$crisp"
    assert key("://") == ""


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("abc.*def", "instead of *"),
        ("abc.+def", "instead of * or +"),
        (r"abc\s*", "instead of *"),
        ("abc(?:d)?", "group"),
        ("abc(d){2}", "group"),
        ("abc[d]{2,}", "upper bound"),
        ("abc[d]{0,65}", "at most 64"),
        ("abcd|defg", "two signatures"),
        ("ab", "at least 3"),
        ("a.bcdef", "at least 3"),
        ("://.", "at least 3"),
        ("abc(", "not a regular expression"),
        ("abcä", "ASCII"),
    ],
)
def test_unfit_signatures_are_told(pattern: str, fault: str) -> None:
    assert fault in (check(pattern) or "")


@pytest.mark.parametrize("pattern", [r"abc\*\+", "abc[*+|]d", r"abc(?:d|e)f", r"abc\s{0,64}d?", r"abc\|d", r"ga\("])
def test_fit_signatures(pattern: str) -> None:
    assert check(pattern) is None


PATTERNS = {
    "pixel": [r"fbq\(\s{0,9}['\"](?:init|track)", r"connect\.facebook\.net/en_US/fbevents\.js"],
    "manager": [r"googletagmanager\.com/gtm\.js", r"gtm\.start"],
    "ads": [r"gtag\(\s{0,9}['\"]config['\"]\s{0,9},\s{0,9}['\"]AW-"],
    "analytics": [r"gtag\(\s{0,9}['\"]config['\"]\s{0,9},\s{0,9}['\"]G-"],
}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (b"fbq('init', '1')", {"pixel"}),
        (b"window.fbq( \n'track', 'x')", {"pixel"}),
        (b"fbq('other')", set()),
        (b"xfbq('init')", set()),
        (b"https://connect.facebook.net/en_US/fbevents.js", {"pixel"}),
        (rb'{"src":"https:\/\/connect.facebook.net\/en_US\/fbevents.js"}', {"pixel"}),
        (rb'{"src":"https:\u002F\u002Fconnect.facebook.net\u002Fen_US\u002ffbevents.js"}', {"pixel"}),
        (b"a({'gtm.start':1});fbq('init')", {"manager", "pixel"}),
        (b"gtag('config','AW-1');gtag(\"config\", \"G-1\")", {"ads", "analytics"}),
        (b"\xff\xfegtm.start\xff", {"manager"}),
        (b"", set()),
    ],
)
def test_finding(script: bytes, found: set[str]) -> None:
    assert Signatures(PATTERNS).find(script) == found


@given(
    st.lists(
        st.sampled_from(
            [b"fbq(", b"'init'", b"gtag(", b"'config'", b",", b" ", b"'AW-1'", b"'G-1'", b"gtm", b".start"]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_nothing_is_found_but_what_the_expressions_find(script: bytes) -> None:
    plain = {service for service, each in PATTERNS.items() if any(re.search(one.encode(), script) for one in each)}
    found = Signatures(PATTERNS).find(script)
    assert found <= plain
    # A key that is only a part of a word does not count; where words stand alone, nothing is missed.
    assert found == plain or re.search(rb"\w(?:fbq|gtag|gtm|start)|start\w", script)


def test_no_signatures() -> None:
    assert Signatures({}).find(b"anything") == set()


# The compiled search comes to the same.

SOUP = ["fbq", "gtm", "gtm.start", "start", "a", "$", "_", ".", "(", "'init", "fbq('init", "x", " ", "ä", "\\/"]
LITERALS = [
    "fbq\\('init",
    "gtm\\.start",
    "start\\.gtm",
    "x\\.start\\.",
    "\\(start\\)",
    "aaa\\.aaa",
    "startgtm",
    "\\$aa\\(",
]


@pytest.mark.skipif(COMPILED is None, reason="the compiled part was not built")
@given(
    st.lists(st.sampled_from([*SOUP, *(literal.replace("\\", "") for literal in LITERALS)]), max_size=12).map("".join)
)
@example("fbq('initial init")
@example("astart.gtm start")
def test_compiled_search(script: str) -> None:
    signatures = Signatures({literal: [literal] for literal in LITERALS})
    words, text = signatures._words, script.encode()
    assert words is not None
    assert sorted(words.find(text)) == sorted(signatures._search(text))


@pytest.mark.skipif(COMPILED is None, reason="the compiled part was not built")
def test_compiled_search_takes_any_key() -> None:
    assert COMPILED is not None
    long = b"x" * 100
    words = COMPILED.Words(((long + b"()", long), (b"a.b", b"b"), (b"a.b", b"a")))
    assert words.find(b"." + long + b"()") == [0]
    assert words.find(long + b"x()") == []
    assert sorted(words.find(b"a.b")) == [1, 2]
    assert COMPILED.Words(()).find(b"a") == []
    wrong: Any
    for wrong in (((b"a.b", b"c"),), ((b"a.b", b""),), ((b"ab", b"a"),), (b"ab",), ((b"a",),), ["ab"]):
        with pytest.raises((TypeError, ValueError)):
            COMPILED.Words(wrong)
    with pytest.raises(TypeError):
        words.find("a")  # type: ignore[arg-type]
