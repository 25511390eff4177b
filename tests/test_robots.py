"""robots.txt, as RFC 9309 has it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.scan import robots

FILE = """\
# a comment
User-agent: *
Disallow: /private/
Disallow: /*.pdf$
Allow: /private/open
Crawl-delay: 3

User-agent: someone-else
User-agent: Vestibule/2.0
Disallow: /app
Allow: /app/help
Disallow:
Sitemap: https://example.com/map.xml

user-agent: other
Disallow: /
Crawl-delay: 7
"""
EVERYONE = FILE.replace("Vestibule/2.0", "Nobody")


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        (FILE, "/", True),
        (FILE, "/app", False),
        (FILE, "/apple", False),
        (FILE, "/app/help/me", True),
        (FILE, "/private/x", True),  # another group's
        (EVERYONE, "/private/x", False),
        (EVERYONE, "/private/open/x", True),
        (EVERYONE, "/a/b.pdf", False),
        (EVERYONE, "/a/b.pdf?x=1", True),
        (EVERYONE, "/app", True),
        ("", "/x", True),
        ("Disallow: /", "/x", True),
        ("User-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\nDisallow: /\nAllow: /", "/x", True),
        ("User-agent: *\nDisallow: /x\nUser-agent: vestibule\nAllow: /y", "/x", True),
        ("User-agent: *\nDisallow: x", "/x", True),
        ("User-agent: *\nDisallow: /a*b*c", "/a1b2c3", False),
        ("User-agent: *\nDisallow: /a*b*c$", "/a1b2c3", True),
        ("<html>not found</html>", "/x", True),
    ],
)
def test_what_may_be_read(text: str, path: str, allowed: bool) -> None:
    assert robots.parse(text).allows(path) is allowed


def test_the_rest_of_a_file() -> None:
    assert robots.parse(FILE).sitemaps == ("https://example.com/map.xml",)
    assert robots.parse(FILE).delay == 0
    assert robots.parse(EVERYONE).delay == 3


@pytest.mark.parametrize(
    ("text", "seconds"), [("0.5", 0.5), ("900", robots.MAX_DELAY), ("-1", 0), ("nan", 0), ("x", 0)]
)
def test_delays(text: str, seconds: float) -> None:
    assert robots.parse(f"User-agent: *\nCrawl-delay: {text}").delay == seconds


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_file_can_be_read(text: str, path: str) -> None:
    found = robots.parse(text)
    assert found.allows(f"/{path}") in (True, False)


def test_no_pattern_makes_it_slow() -> None:
    found = robots.parse("User-agent: *\nDisallow: /" + "*a" * 500 + "$")
    begun = time.process_time()
    found.allows("/" + "a" * 8000 + "b")
    assert time.process_time() - begun < 1
