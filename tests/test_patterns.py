"""Patterns of names and paths."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.patterns import Glob, PathPattern, tidy_path

TEXT = st.text("ab/*", max_size=12)


@given(pattern=TEXT, text=st.text("ab/", max_size=12))
def test_a_glob_matches_what_the_same_regular_expression_matches(pattern: str, text: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Glob(pattern).matches(text) == (re.fullmatch(expression, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/maps", "/maps", True),
        ("/maps", "/maps/embed", True),
        ("/maps", "/maps?q=1", True),
        ("/maps", "/mapsx", False),
        ("/maps", "/a/maps", False),
        ("/maps/", "/maps", False),
        ("/maps/", "/maps/", True),
        ("/maps/", "/maps/embed?x=/y", True),
        ("/w/*", "/w/a/b", True),
        ("/w/*", "/w", False),
        ("/w*", "/widget.js", True),
        ("/*.js", "/a/b.js?v=1", True),
        ("/*.js", "/a/b.css?v=1.js", False),
        ("/js?*id=AW-*", "/js?id=AW-1", True),
        ("/js?*id=AW-*", "/js?l=x&id=AW-1", True),
        ("/js?*id=AW-*", "/js?id=G-1", False),
        ("/js?*id=AW-*", "/js", False),
        ("*/gtm.js", "/a/gtm.js", True),
        ("*/gtm.js", "/gtm.js?id=1", True),
        ("*/gtm.js", "/agtm.js", False),
    ],
)
def test_paths(pattern: str, path: str, expected: bool) -> None:
    assert PathPattern(pattern).matches(path) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/recaptcha/", ("/recaptcha/",)),
        ("/tr", ("/tr", "/tr/")),
        ("/a/b.js", ("/a/b.js",)),
        ("/w/*", ("/w/",)),
        ("/w/x*.js", ("/w/",)),
        ("/js?*id=AW-*", ("/js",)),
        ("/*", ("/",)),
        ("/a b", ()),
        ("/a;b", ()),
        ("/a,b", ()),
        ("/a'b", ()),
    ],
)
def test_sources_of_a_policy(pattern: str, expected: tuple[str, ...]) -> None:
    assert PathPattern(pattern).sources() == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("", ""),
        ("/a/b?c=%64", "/a/b?c=d"),
        ("/%74r", "/tr"),
        ("/%2574r", "/tr"),
        ("//tr", "/tr"),
        ("/x/../tr", "/tr"),
        ("/x/%2e%2e/tr", "/tr"),
        ("/x/%2E./tr/", "/tr/"),
        ("/./tr", "/tr"),
        ("/../../tr", "/tr"),
        ("/tr;jsessionid=1", "/tr"),
        ("\\tr", "/tr"),
        ("/x\\..\\tr", "/tr"),
        ("/tr\t", "/tr"),
        ("/tr%00", "/tr"),
        ("tr", "/tr"),
        ("/%ff", "/�"),
    ],
)
def test_tidy_paths(path: str, expected: str) -> None:
    assert tidy_path(path) == expected


@given(st.text("ab.;%2ef/\\?x", max_size=20).map(lambda text: "/" + text))
def test_tidying_leaves_nothing_to_tidy(path: str) -> None:
    plain = tidy_path(path).partition("?")[0]
    assert plain.startswith("/")
    assert not {"..", "."} & set(plain.split("/"))
    assert "//" not in plain
