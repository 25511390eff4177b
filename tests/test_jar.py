"""What browsers make of cookies, and where they send them."""

from __future__ import annotations

import pytest

from vestibule.core.cookies import SetCookie
from vestibule.core.jar import Stored, store

SUFFIXES = {"com", "github.io"}


def stored(header: str, host: str = "www.relaso.com", path: str = "/app/x", *, secure: bool = True) -> Stored | None:
    cookie = SetCookie.parse(header)
    assert cookie is not None
    return store(cookie, host, path, secure=secure, now=1000, is_suffix=SUFFIXES.__contains__)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("__Secure-a=b; Secure", True),
        ("__Secure-a=b", False),
        ("__SECURE-a=b", False),
        ("__Host-a=b; Secure; Path=/", True),
        ("__Host-a=b; Secure", False),
        ("__host-a=b; Secure; Path=/; Domain=www.relaso.com", False),
        ("__Http-a=b; Secure; HttpOnly", True),
        ("__Http-a=b; Secure", False),
        ("__Host-Http-a=b; Secure; Path=/; HttpOnly", True),
        ("__Host-Http-a=b; Secure; Path=/", False),
        ("a=b; SameSite=None; Secure", True),
        ("a=b; SameSite=None", False),
        ("a=b; Partitioned", False),
        ("a=b; Partitioned; Secure", True),
        ("a=b; Domain=relaso.com", True),
        ("a=b; Domain=elsewhere.com", False),
        ("a=b; Domain=com", False),
        ("a=b; Domain=.WWW.Relaso.COM", True),
        ("a=b; Domain=so.com", False),
    ],
)
def test_what_a_browser_keeps(header: str, kept: bool) -> None:
    assert (stored(header) is not None) == kept


def test_a_secure_cookie_is_none_of_plain_http() -> None:
    assert stored("a=b; Secure", secure=False) is None
    assert stored("a=b", secure=False) is not None


def test_what_a_browser_keeps_of_a_cookie() -> None:
    assert stored("a=b; Domain=.relaso.com; Max-Age=5; HttpOnly; samesite=STRICT") == Stored(
        "a", "b", "relaso.com", False, "/app", 1005, False, True, "strict", False
    )
    assert stored("a=b; Domain=github.io", "github.io") == Stored(
        "a", "b", "github.io", True, "/app", None, False, False, "", False
    )


@pytest.mark.parametrize(
    ("header", "host", "path", "goes"),
    [
        ("a=b; Path=/app", "www.relaso.com", "/app", True),
        ("a=b; Path=/app", "www.relaso.com", "/apple", False),
        ("a=b; Path=/app", "www.relaso.com", "/app/y", True),
        ("a=b; Path=/app/", "www.relaso.com", "/app", False),
        ("a=b; Path=/", "relaso.com", "/", False),
        ("a=b; Path=/; Domain=relaso.com", "relaso.com", "/", True),
        ("a=b; Path=/; Domain=relaso.com", "x.relaso.com", "/", True),
        ("a=b; Path=/; Domain=relaso.com", "xrelaso.com", "/", False),
    ],
)
def test_where_a_cookie_goes(header: str, host: str, path: str, goes: bool) -> None:
    cookie = stored(header)
    assert cookie is not None
    assert cookie.goes_to(host, path, secure=True) == goes
