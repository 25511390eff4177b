"""Host sources of policies."""

from __future__ import annotations

import pytest

from vestibule.core.sources import Sources


@pytest.mark.parametrize(
    ("closed", "added", "expected"),
    [
        (set(), [("a.example", "", True, True)], ("a.example", "*.a.example")),
        (set(), [("a.example", "", False, True)], ("*.a.example",)),
        (set(), [("a.example", "", True, False)], ("a.example",)),
        (set(), [("www.a.example", "", True, True)], ("www.a.example",)),
        ({"t.a.example"}, [("a.example", "", True, True)], ("a.example", "www.a.example")),
        ({"t.u.a.example"}, [("a.example", "", True, True)], ("a.example", "www.a.example")),
        ({"www.a.example"}, [("a.example", "", True, True)], ("a.example",)),
        ({"a.example"}, [("b.a.example", "", True, True)], ("b.a.example", "*.b.a.example")),
        (set(), [("a.example", "/x/", True, True)], ("a.example/x/", "*.a.example/x/")),
        (set(), [("a.example", "/x/", True, False), ("a.example", "", True, False)], ("a.example",)),
        (set(), [("b.a.example", "", True, True), ("a.example", "", False, True)], ("*.a.example",)),
        (set(), [("b.a.example", "/x", True, True), ("a.example", "", False, True)], ("*.a.example",)),
        (set(), [("a.example", "/x", True, False), ("a.example", "", False, True)], ("a.example/x", "*.a.example")),
        (set(), [("192.0.2.1", "", True, True)], ("192.0.2.1",)),
        (set(), [("[2001:db8::1]", "", True, True)], ("[2001:db8::1]",)),
        (set(), [("a.example:8443", "", True, True)], ("a.example:8443",)),
        (set(), [("a.example; script-src *", "", True, True), ("", "", True, True), ("A.example", "", True, True)], ()),
    ],
)
def test_sources(closed: set[str], added: list[tuple[str, str, bool, bool]], expected: tuple[str, ...]) -> None:
    sources = Sources(closed)
    for host, path, bare, wide in added:
        sources.add(host, path, bare=bare, wide=wide)
    assert sources.collected() == expected
