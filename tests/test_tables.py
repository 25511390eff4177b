"""Tables of hosts, of paths on the site's own hosts, and of cookies."""

from __future__ import annotations

import pytest

from vestibule.core.consent import Purpose
from vestibule.core.services import Cookie, Service
from vestibule.core.tables import CookieTable, RelayTable, is_address, suffixes


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", True),
        ("[::1]", True),
        ("a.example", False),
        ("1.example", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_addresses(host: str, address: bool) -> None:
    assert is_address(host) is address


def test_suffixes_come_longest_first() -> None:
    assert list(suffixes("a.b.c")) == ["a.b.c", "b.c", "c"]


@pytest.mark.parametrize(
    ("name", "path", "found"),
    [
        ("a.example", "/x/gtm.js", ["manager"]),
        ("a.example", "/gtm.js?id=1", ["manager"]),
        ("a.example", "/xgtm.js", []),
        ("a.example", "/js/plausible.hash.js", ["plausible"]),
        ("a.example", "/rum/1", ["rum"]),
        ("a.example", "/w/1", ["widget"]),
        ("b.a.example", "/w/1", ["widget"]),
        ("ba.example", "/w/1", []),
    ],
)
def test_relays(name: str, path: str, found: list[str]) -> None:
    table = RelayTable()
    table.enter("manager", "*/gtm.js")
    table.enter("plausible", "*/js/plausible*.js")
    table.enter("rum", "/rum/")
    table.enter("widget", "/w/*", "a.example")
    assert list(table.find(name, path)) == found


def cookie(pattern: str, service: str, purpose: Purpose, *, third_party: bool = False) -> Service:
    return Service(service, service, purpose, cookies=(Cookie(pattern, purpose, 0, service, third_party),))


SERVICES = (
    cookie("shared", "statistics", Purpose.STATISTICS),
    cookie("shared", "marketing", Purpose.MARKETING),
    cookie("_ga_*", "short", Purpose.STATISTICS),
    cookie("_ga_x_*", "long", Purpose.MARKETING),
    cookie("uid", "foreign", Purpose.MARKETING, third_party=True),
)


@pytest.mark.parametrize(
    ("name", "listed", "service"),
    [
        ("shared", set(), "marketing"),
        ("shared", {"statistics"}, "statistics"),
        ("_ga_1", set(), "short"),
        ("_ga_x_1", set(), "long"),
        ("uid", set(), None),
        ("_ga", set(), None),
    ],
)
def test_cookies(name: str, listed: set[str], service: str | None) -> None:
    found = CookieTable(SERVICES, frozenset(listed)).find(name)
    assert (found and found.service) == service
