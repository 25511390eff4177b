from __future__ import annotations

import pytest

from vestibule.core.caching import private, unwrap, vary, wrap


@pytest.mark.parametrize("tag", ['"abc"', 'W/"abc"', '""', '"a.b,c"'])
def test_a_tag_maps_back_under_its_own_variant(tag: str) -> None:
    wrapped = wrap(tag, "v1")
    assert wrapped is not None
    assert wrapped.startswith('W/"')
    assert unwrap(wrapped, "v1") == (tag, True)


def test_a_tag_of_another_variant_is_left_out() -> None:
    wrapped = wrap('"abc"', "v1")
    assert wrapped is not None
    assert unwrap(wrapped, "v2") == ("", True)


@pytest.mark.parametrize("tag", ["abc", '"a', "", '"a" "b"'])
def test_what_is_no_tag_is_not_wrapped(tag: str) -> None:
    assert wrap(tag, "v") is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"x", W/"y"', ('"x", W/"y"', False)),
        ("*", ("*", False)),
        ("garbage", ("", False)),
        (", ".join(f'"{number}"' for number in range(100)), (", ".join(f'"{n}"' for n in range(32)), False)),
    ],
)
def test_tags_of_the_site(header: str, expected: tuple[str, bool]) -> None:
    assert unwrap(header, "v") == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "private, no-cache"),
        ("public, max-age=600, s-maxage=900", "private, no-cache"),
        ("no-store", "private, no-store"),
        ("No-Store, max-age=0", "private, no-store"),
        ("public, No-Transform", "private, no-cache, no-transform"),
        ("no-transform,no-store", "private, no-store, no-transform"),
    ],
)
def test_no_shared_cache_keeps_a_page(before: str, after: str) -> None:
    assert private(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "Cookie, Sec-GPC"),
        ("Accept-Encoding", "Accept-Encoding, Cookie, Sec-GPC"),
        ("cookie", "cookie, Sec-GPC"),
        ("*", "*"),
    ],
)
def test_vary(before: str, after: str) -> None:
    assert vary(before, "Cookie", "Sec-GPC") == after
