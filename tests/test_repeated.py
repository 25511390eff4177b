"""Pages that come again go out as if each had been read for itself."""

from __future__ import annotations

import gc
import gzip
import itertools
import weakref
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sites import SECRET, Message, Recording, configured, in_process, scope
from vestibule.core.codings import Encoder
from vestibule.middleware import ConsentMiddleware, repeated
from vestibule.middleware.repeated import AGE, MAX_BYTES, MAX_LEARNING, MAX_PAGE, MAX_TARGET, Pages, Read, Repeated

Header = tuple[bytes, bytes]

HTML = (b"content-type", b"text/html; charset=utf-8")
PAGE = (
    b'<!doctype html><html lang="de"><head><title>x</title>'
    b'<script src="https://www.googletagmanager.com/gtag/js?id=G-1"></script></head>'
    b'<body><p>Text</p><iframe src="https://www.youtube.com/embed/x"></iframe>'
    b'<img src="https://stats.nobody.example/p.gif"><a href="/y">y</a></body></html>'
)
OTHER = PAGE.replace(b"Text", b"Word")
VISITORS: tuple[list[Header], ...] = (
    [],
    [(b"sec-gpc", b"1")],
    [(b"accept-language", b"fr")],
    [(b"sec-fetch-dest", b"iframe")],
    [(b"sec-fetch-dest", b"empty")],
    [(b"host", b"www.relaso.com")],
)


class Site:
    """Answers with what it is told to, in pieces."""

    def __init__(self) -> None:
        self.headers: list[Header] = [HTML]
        self.pieces: list[bytes] = [PAGE]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def made(folder: Path, site: Site, **options: Any) -> tuple[ConsentMiddleware, Recording]:
    recording = Recording()
    whole = ConsentMiddleware(site, configured(folder), secrets=[SECRET], sender=recording, state=folder, **options)
    return whole, recording


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repeated")


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def pair(folder: Path, site: Site) -> tuple[tuple[ConsentMiddleware, Recording], ...]:
    return made(folder, site), made(folder, site)


@pytest.fixture
def fresh(pair: tuple[tuple[ConsentMiddleware, Recording], ...], site: Site) -> tuple[ConsentMiddleware, Recording]:
    whole, recording = pair[0]
    whole._recall.snapshot.pages = Pages()
    recording.hits.clear()
    site.headers, site.pieces = [HTML], [PAGE]
    return whole, recording


def ask(whole: ConsentMiddleware, *extra: Header, path: str = "/x", method: str = "GET") -> list[Message]:
    given_ = {b"host": b"relaso.com", b"sec-fetch-dest": b"document", **dict(extra)}
    return in_process(whole, scope(list(given_.items()), method, path, "https"))


def body(sent: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent[1:])


def known(whole: ConsentMiddleware) -> int:
    return len(whole._recall.snapshot.pages._read)


def pieces(page: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(page) + 1) for cut in cuts), len(page)]
    return [page[begin:end] for begin, end in itertools.pairwise(borders)]


REQUESTS = st.tuples(
    st.sampled_from(VISITORS),
    st.sampled_from([PAGE, PAGE, PAGE, OTHER, PAGE + b"<p>more", PAGE[:-50], b"", PAGE.replace(b"y.com", b"y.org")]),
    st.lists(st.integers(0, len(PAGE)), max_size=4),
    st.sampled_from(["/x", "/y"]),
    st.sampled_from([[], [], [(b"content-language", b"fr")], [(b"set-cookie", b"a=b")]]),
    st.sampled_from(["", "", "gzip"]),
)


@settings(max_examples=60, deadline=None)
@given(requests=st.lists(REQUESTS, min_size=3, max_size=12))
def test_each_page_is_what_it_is_alone(
    requests: list[Any], site: Site, pair: tuple[tuple[ConsentMiddleware, Recording], ...]
) -> None:
    (whole, recording), (alone, apart) = pair
    site.headers, whole._recall.snapshot.pages = [HTML], Pages()
    for visitor, page, cuts, path, headers, coding in requests:
        site.headers = [HTML, *headers, *([(b"content-encoding", b"gzip")] if coding else [])]
        site.pieces = pieces(gzip.compress(page, mtime=0) if coding else page, cuts)
        alone._recall.snapshot.pages = Pages()
        got, wanted = ask(whole, *visitor, path=path), ask(alone, *visitor, path=path)
        assert got[0] == wanted[0]
        if coding:
            assert zlib.decompress(body(got), 31) == zlib.decompress(body(wanted), 31)
        else:
            assert body(got) == body(wanted)
        assert len(recording.hits) == len(apart.hits)
        for told, expected in zip(recording.hits, apart.hits, strict=True):
            # The same text may be coded in other pieces.
            size = told.size if coding else expected.size
            assert told._replace(time=0.0, blocked=()) == expected._replace(time=0.0, blocked=(), size=size)
            assert set(told.blocked) == set(expected.blocked)
        recording.hits.clear()
        apart.hits.clear()


@pytest.mark.parametrize("visitor", VISITORS)
def test_a_page_that_comes_again_is_not_read_again(
    visitor: list[Header],
    site: Site,
    fresh: tuple[ConsentMiddleware, Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, recording = fresh
    answers = [ask(whole, *visitor)]
    assert known(whole) == 0
    answers.append(ask(whole, *visitor))
    assert known(whole) == 1
    monkeypatch.setattr(repeated.Repeated, "_read", None)
    site.pieces = pieces(PAGE, [3, 200, 300])
    answers.append(ask(whole, *visitor))
    assert answers[0][0] == answers[1][0] == answers[2][0]
    assert body(answers[0]) == body(answers[1]) == body(answers[2])
    assert recording.hits[0].blocked == recording.hits[1].blocked == recording.hits[2].blocked
    assert len(recording.hits[2].blocked) >= 2


def test_what_is_certain_goes_out_at_once(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    """A page that comes in pieces is not held until it is whole."""
    whole, _ = fresh
    site.pieces = [PAGE[:200], PAGE[200:]]
    first, second, third = (ask(whole) for _ in range(3))
    assert [message.get("body") for message in first] == [message.get("body") for message in third]
    assert len(second) == len(third) > 2


@pytest.mark.parametrize(
    "own", [(b"set-cookie", b"a=b"), (b"cache-control", b"max-age=0, Private"), (b"cache-control", b"no-store")]
)
def test_what_is_meant_for_one_is_not_kept(own: Header, site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    site.headers = [HTML, own]
    for _ in range(3):
        ask(whole)
    assert known(whole) == 0


def test_pages_that_never_come_twice_are_not_kept(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    for number in range(5):
        site.pieces = [PAGE, b"<!-- %d -->" % number]
        ask(whole)
        ask(whole, method="HEAD")
        ask(whole, method="POST")
    assert known(whole) == 0


def test_one_who_refused_is_not_told_that_their_browser_did(fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    signal = (b"sec-gpc", b"1")
    headers = [
        (b"host", b"relaso.com"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"origin", b"https://relaso.com"),
        (b"sec-fetch-site", b"same-origin"),
        signal,
    ]
    form = in_process(whole, scope(headers, "POST", "/_privacy/consent", "https"), b"choice=reject")
    cookie = next(value for name, value in form[0]["headers"] if name == b"set-cookie").partition(b";")[0]
    for _ in range(3):
        assert b"Global Privacy Control" in body(ask(whole, signal))
        assert b"Global Privacy Control" not in body(ask(whole, signal, (b"cookie", cookie)))


def test_many_pages_are_learned_one_after_the_other(fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    paths = [f"/{number}" for number in range(MAX_LEARNING * 2)]
    for path in paths * 2:
        ask(whole, path=path)
    assert known(whole) == len(paths)


@pytest.mark.parametrize("coding", ["", "br", "zstd"])
def test_what_read_a_page_is_free_when_it_is_over(
    coding: str, site: Site, fresh: tuple[ConsentMiddleware, Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = fresh
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    make = repeated.Repeated.__init__

    def noted(self: Repeated, *args: Any) -> None:
        make(self, *args)
        alive.add(self)

    monkeypatch.setattr(repeated.Repeated, "__init__", noted)
    if coding:
        encoder = Encoder(coding)
        site.headers, site.pieces = (
            [HTML, (b"content-encoding", coding.encode())],
            [encoder.feed(PAGE) + encoder.close()],
        )
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            ask(whole)
            assert len(alive) == 0
    finally:
        gc.enable()


def test_a_page_in_shreds_is_not_kept(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    site.pieces = [bytes([byte]) for byte in PAGE]
    for _ in range(3):
        ask(whole)
    assert known(whole) == 0


def test_what_headers_held_back_is_not_kept_with_the_page(
    site: Site, fresh: tuple[ConsentMiddleware, Recording]
) -> None:
    whole, recording = fresh
    link = (b"link", b"<https://static.hotjar.com/x.js>; rel=preload")
    for headers in ([HTML, link], [HTML, link], [HTML]):
        site.headers = headers
        ask(whole)
    assert "hotjar" in str(recording.hits[0].blocked)
    assert "hotjar" not in str(recording.hits[2].blocked)


def test_headers_of_any_pairs_will_do(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    site.headers = ([b"content-type", b"image/png"],)  # type: ignore[assignment]
    assert ask(whole)[0]["status"] == 200


def test_long_addresses_are_not_taken_note_of(fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    for _ in range(3):
        ask(whole, path="/" + "x" * MAX_TARGET)
    assert known(whole) == len(whole._recall.snapshot.pages._once) == 0


def test_a_page_that_changes_is_followed(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    for page in (PAGE, PAGE, PAGE, OTHER, OTHER, OTHER):
        site.pieces = [page]
        assert (b"Word" if page is OTHER else b"Text") in body(ask(whole))
    assert [read.body for read in whole._recall.snapshot.pages._read.values()] == [OTHER]


def test_another_choice_gets_another_page(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    for _ in range(3):
        before = body(ask(whole))
        refused = body(ask(whole, (b"sec-gpc", b"1")))
    assert b'name="choice" value="accept"' in before
    assert b'name="choice" value="accept"' not in refused
    assert known(whole) == 2


def test_a_new_configuration_forgets(site: Site, fresh: tuple[ConsentMiddleware, Recording]) -> None:
    whole, _ = fresh
    for _ in range(2):
        ask(whole)
    whole.reload(whole._recall.snapshot.policy.config)
    assert known(whole) == 0


def test_all_is_forgotten_after_a_while() -> None:
    pages = Pages()
    pages.of("x", 1000)
    pages.keep("x", Read(b"a", b"b", (), None, ()))
    assert pages.of("x", 1000 + AGE) is not None
    assert pages.of("x", 1001 + AGE) is None
    pages.keep("x", Read(b"a", b"b", (), None, ()))
    assert pages.of("x", 900) is None


def test_memory_is_bounded() -> None:
    pages = Pages()
    big = b"x" * (MAX_BYTES // 8)
    for number in range(40):
        pages.keep(number % 11, Read(big, big, (), None, ()))
        assert sum(len(read.body) + len(read.out) for read in pages._read.values()) == pages._size <= MAX_BYTES
    for number in range(repeated.MAX_ONCE * 2):
        pages.note(number, 0)
        assert len(pages._once) <= repeated.MAX_ONCE


class Same:
    """A body that stays as it is."""

    label = None

    def feed(self, data: bytes) -> bytes:
        return data

    def close(self) -> bytes:
        return b""


def test_few_are_copied_at_a_time_and_none_that_is_large() -> None:
    pages = Pages()
    for number in range(MAX_LEARNING * 2):
        pages.note(number, zlib.crc32(b"x"))
    under_way = [Repeated(pages, number, 0, Same, tuple) for number in range(MAX_LEARNING * 2)]
    for each in under_way:
        each.feed(b"x")
    assert sum(bool(each._body) for each in under_way) == MAX_LEARNING
    del under_way, each
    for _ in range(3):
        large = Repeated(pages, 0, 0, Same, tuple)
        for _ in range(MAX_PAGE // 1000 + 1):
            large.feed(b"x" * 1000)
        assert large._body == []
        large.close()
    assert pages._read == {}
