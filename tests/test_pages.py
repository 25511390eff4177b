"""Paths become pages: folded, scrubbed, bounded."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.memo import Memo
from vestibule.core.pages import MAX_SEGMENT, MAX_SEGMENTS, MAX_TEXT, Folder, clean, extension, folders, scrub

PAGES = [
    # what a page is called by
    ("/", "/"),
    ("", "/"),
    ("/pricing", "/pricing"),
    ("/pricing/", "/pricing"),
    ("/Pricing", "/pricing"),
    ("//blog///2026/", "/blog/2026"),
    ("/pricing?plan=pro", "/pricing"),
    ("/pricing#faq", "/pricing"),
    ("/index.html", "/"),
    ("/blog/index.php", "/blog"),
    ("/app;jsessionid=0123456789ABCDEF/deals", "/app/deals"),
    ("/a/./b/../c", "/a/c"),
    ("/../../etc", "/etc"),
    ("/%70ricing", "/pricing"),
    ("/%C3%BCber-uns", "/über-uns"),
    ("/Ã¼ber-uns", "/über-uns"),
    ("/ÜBER-UNS", "/über-uns"),
    ("/a%2Fb", "/a%2fb"),
    ("/a%00b", "/ab"),
    ("/search*", "/search%2a"),
    ("*", "/%2a"),
    ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/…"),
    # what stays, since it names no one
    ("/blog/2026/11/vestibule-opens", "/blog/2026/11/vestibule-opens"),
    ("/blog/2026-11-22-vestibule-opens", "/blog/2026-11-22-vestibule-opens"),
    ("/archive/20261122", "/archive/20261122"),
    ("/users/42", "/users/42"),
    ("/docs/v2.13.4/api", "/docs/v2.13.4/api"),
    ("/GettingStartedWithVestibule", "/gettingstartedwithvestibule"),
    ("/rechtsschutzversicherung-vergleich", "/rechtsschutzversicherung-vergleich"),
    ("/how-to-set-up-two-factor-authentication-for-teams", "/how-to-set-up-two-factor-authentication-for-teams"),
    ("/iso-27001-certificate", "/iso-:id-certificate"),
    # what names someone
    ("/u/jane.doe@example.com/edit", "/u/:email/edit"),
    ("/u/jane.doe%40example.com", "/u/:email"),
    ("/u/jane%252edoe%2540example.com", "/u/:email"),
    ("/u/jörg@müller.example", "/u/:email"),
    ("/unsubscribe-jane+news@example.co.uk", "/:email"),
    ("/deal/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/deal/:uuid"),
    ("/deal/3F2504E04F8911D39A0C0305E82C3301", "/deal/:uuid"),
    ("/orders/1234567", "/orders/:id"),
    ("/orders/order-1234567", "/orders/order-:id"),
    ("/call/+49 30 901820", "/call/:id"),
    ("/call/030-123-4567", "/call/:id"),
    ("/ip/192.168.10.123", "/ip/:id"),
    ("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9Pl", "/reset/:token"),
    ("/reset/9f86d081884c7d659a2feaa0c55ad015", "/reset/:uuid"),
    ("/reset/9f86d081884c7d659a2feaa0", "/reset/:token"),
    ("/reset/dQw4w9WgXcQ", "/reset/:token"),
    ("/reset/Zm9vYmFyYmF6cXV4cXV1eA==", "/reset/:token=="),
    ("/reset/xKjQwErTyUiOpAsD", "/reset/:token"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "page"), PAGES)
def test_page_of_a_path(path: str, page: str) -> None:
    assert Folder().fold(path) == page


def test_pages_are_folded_once_only() -> None:
    """What is a page already stays that page, so that a stored value may be folded again."""
    folder = Folder()
    for _, page in PAGES:
        if "%2" not in page:
            assert folder.fold(page) == page


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/app/deals/7", "/app/deals/:id"),
        ("/App/Deals/Jane", "/app/deals/:id"),
        ("/app/deals/7/edit/", "/app/deals/:id/edit"),
        ("/app/deals", "/app/deals"),
        ("/app/deals/7/9999999", "/app/deals/:id/:id"),
        ("/files/a/b/c.txt", "/files"),
        ("/files", "/files"),
        ("/team/red/member/jane", "/team/red/member/:name"),
        ("/old/x", "/new/x"),
        ("/other/7", "/other/7"),
    ],
)
def test_patterns_fold_pages(path: str, page: str) -> None:
    patterns = {
        "/app/deals/*": "/app/deals/:id",
        "/files/**": "/files",
        "/team/*/member/*": "/team/*/member/:name",
        "/old": "/new",
    }
    assert Folder(patterns).fold(path) == page


@pytest.mark.parametrize(
    ("page", "above"),
    [
        ("/", ()),
        ("/pricing", ()),
        ("/blog/x", ("/blog/*",)),
        ("/blog/2026/x", ("/blog/2026/*", "/blog/*")),
        ("/a/b/c/d/e", ("/a/b/c/*", "/a/b/*", "/a/*")),
        ("/blog/2026/*", ("/blog/*",)),
        ("/blog/*", ()),
        ("/a/b/c/*", ("/a/b/*", "/a/*")),
    ],
)
def test_folders(page: str, above: tuple[str, ...]) -> None:
    assert folders(page) == above


segments = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
paths = st.lists(segments, max_size=12).map(lambda parts: "/" + "/".join(quote(part, safe="") for part in parts))


@given(st.one_of(paths, st.text(max_size=200)))
def test_any_path_becomes_a_bounded_page_without_query(path: str) -> None:
    page = Folder().fold(path)
    assert page.startswith("/")
    assert "?" not in page.partition("?")[0]
    assert "*" not in page
    assert "\n" not in page
    assert len(page) <= (MAX_SEGMENTS + 1) * (3 * MAX_SEGMENT + 1)
    assert page.count("/") <= MAX_SEGMENTS + 1


@given(paths)
def test_every_folder_of_a_page_holds_the_folders_above(path: str) -> None:
    """A tree: the ancestors of an ancestor are the rest of the list."""
    above = folders(Folder().fold(path))
    for level, folder in enumerate(above):
        assert folders(folder) == above[level + 1 :]


@given(st.emails(), st.sampled_from(["/u/{}", "/{}/edit", "/unsubscribe/to-{}"]))
def test_no_address_survives(email: str, shape: str) -> None:
    domain = email.rpartition("@")[2]
    page = Folder().fold(shape.format(quote(email, safe="")))
    assert f"@{domain.lower()}" not in page


@given(st.uuids(), st.integers(10**8 + 10**7, 10**15))
def test_no_uuid_and_no_long_number_survives(uuid: object, number: int) -> None:
    page = Folder().fold(f"/a/{uuid}/b/{number}")
    assert page == "/a/:uuid/b/:id"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  Spring\tSale \n", "spring sale"),
        ("jane@example.com", ":email"),
        ("x" * 200, "x" * (MAX_TEXT - 1) + "…"),
        ("a‮b\x00c", "abc"),
        ("", ""),
    ],
)
def test_texts_are_cleaned(text: str, kept: str) -> None:
    assert clean(text) == kept


@given(st.text(max_size=500))
def test_cleaned_texts_are_one_bounded_line(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= MAX_TEXT
    assert cleaned.isprintable()


@given(st.text(max_size=100))
def test_scrubbing_leaves_no_long_number(text: str) -> None:
    rest = re.sub(r"(?:19|20)\d{4,6}", "", scrub(text))
    assert not re.search(r"\d{9,}", rest)


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("/a.css", "css"), ("/A.CSS", "css"), ("/a", ""), ("/a.b/c", ""), ("/a.tar.gz", "gz"), ("/a." + "x" * 20, "")],
)
def test_extension(path: str, suffix: str) -> None:
    assert extension(path) == suffix


def test_memo_calls_once_and_forgets_at_its_bound() -> None:
    calls: list[int] = []

    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    memo = Memo(double, 3)
    assert [memo(number) for number in (1, 1, 2, 3)] == [2, 2, 4, 6]
    assert calls == [1, 2, 3]
    memo(4)
    assert len(memo) == 1
    memo(1)
    assert calls == [1, 2, 3, 4, 1]
