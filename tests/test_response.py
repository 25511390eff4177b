"""Pages in any encoding, and policies that pages carry themselves."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.sites import SITE_YAML, Answer, Front, configured, front
from vestibule.core.codings import Encoder

HELD = "https://stats.nobody.example/p.gif"
GERMAN = ("Accept-Language", "de")


async def page(request: Request) -> Response:
    """The body and headers that the request's own header asks for."""
    wanted = json.loads(request.headers["x-page"])
    body = bytes.fromhex(wanted["body"])
    if wanted["zstd"]:
        body = zstandard.ZstdCompressor().compress(body)

    async def pieces() -> object:
        for start in range(0, len(body), wanted["step"]):
            yield body[start : start + wanted["step"]]

    response = StreamingResponse(pieces())  # type: ignore[arg-type]
    response.raw_headers[:] = [(b"content-type", value.encode()) for value in wanted["types"]]
    if wanted["zstd"]:
        response.raw_headers.append((b"content-encoding", b"zstd"))
    return response


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("site")
    app = Starlette(routes=[Route("/page", page)])
    with front("middleware", configured(folder), folder / "state", app) as running:
        yield running


def ask(site: Front, body: bytes, *types: str, step: int = 7, zstd: bool = False, top: bool = True) -> Answer:
    wanted = {"body": body.hex(), "types": types or ["text/html"], "step": step, "zstd": zstd}
    destination = ("Sec-Fetch-Dest", "document" if top else "iframe")
    answer = site.ask("/page", ("X-Page", json.dumps(wanted)), GERMAN, destination)
    assert answer.status == 200
    if zstd:
        answer.body = zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)
    return answer


def markup(text: str, declared: str = "") -> str:
    head, body = f"{declared}<title>{text}</title>", f"<img src='{HELD}'>"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


TEXT = "Grüße, 日本語"
JAPANESE = "日本語、カタカナ"

TRANSCODED = [
    ("utf-16 by its mark", TEXT, "utf-16", "", "text/html"),
    ("its mark goes before the header", TEXT, "utf-16", "", "text/html; charset=iso-8859-1"),
    ("big endian", "\ufeff" + TEXT, "utf-16-be", "", "text/html"),
    ("utf-16 by its header", TEXT, "utf-16-le", "", "text/html; charset=utf-16"),
    ("by an old label", TEXT, "utf-16-le", "", 'text/html;charset="unicode"'),
    ("iso-2022-jp by its header", JAPANESE, "iso2022_jp", "", "text/html; charset=ISO-2022-JP"),
    ("iso-2022-jp by itself", JAPANESE, "iso2022_jp", "<meta charset=csISO2022JP>", "text/html"),
    ("the first header's charset", TEXT, "utf-16-le", "", "text/html; charset=utf-16; charset=utf-8"),
]


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize(("case", "text", "codec", "declared", "type_"), TRANSCODED, ids=[row[0] for row in TRANSCODED])
def test_a_page_in_which_bytes_are_not_ascii_becomes_utf_8(
    site: Front, case: str, text: str, codec: str, declared: str, type_: str, zstd: bool
) -> None:
    source = markup(text.strip("\ufeff"), declared)
    answer = ask(site, (text[:1].strip(TEXT + JAPANESE) + source).encode(codec), type_, zstd=zstd)
    assert answer.all("content-type") == ["text/html; charset=utf-8"]
    assert f" data-vestibule-src='{HELD}'" in answer.text
    assert answer.text.startswith("<!doctype html>")
    assert f"<title>{text.strip(chr(0xFEFF))}</title>" in answer.text
    assert "Datenschutz" in answer.text


@pytest.mark.parametrize(
    ("text", "codec", "declared", "types", "sent"),
    [
        (TEXT, "utf-8", "", ["text/html; charset=utf-8"], "text/html; charset=utf-8"),
        (TEXT, "utf-8", "<meta charset=utf-8>", ["text/html"], "text/html; charset=utf-8"),
        (TEXT, "utf-8-sig", "", ["text/html; charset=koi8-r"], "text/html; charset=utf-8"),
        ("Grüße", "cp1252", "", ["text/html; charset=ISO-8859-1"], "text/html; charset=ISO-8859-1"),
        (JAPANESE, "shift_jis", "<meta charset=x-sjis>", ["text/html"], "text/html; charset=shift_jis"),
        ("привет", "koi8-r", "", ["text/html; charset=koi8-r", "text/html"], "text/html; charset=koi8-r"),
        # What browsers might read in another way than we do is said plainly.
        ("x", "utf-8", "", ['text/html; x="; charset=utf-16"; charset=utf-8'], "text/html; charset=utf-8"),
        # Undeclared: browsers go on guessing, or find what the page declares further down.
        ("Grüße", "cp1252", "", ["text/html"], "text/html"),
        ("Grüße", "cp1252", "<!--" + "x" * 1200 + "--><meta charset=windows-1252>", ["text/html"], "text/html"),
        ("Grüße", "cp1252", "", ["text/html; charset=utf-7"], "text/html"),
        ("Grüße", "cp1252", "", ["text/html; charset = utf-16"], "text/html"),
    ],
)
def test_other_pages_keep_their_bytes(
    site: Front, text: str, codec: str, declared: str, types: list[str], sent: str
) -> None:
    body = markup(text, declared).encode(codec)
    answer = ask(site, body, *types)
    assert answer.all("content-type") == [sent]
    assert f"<title>{text}</title>".encode(codec).removeprefix(b"\xef\xbb\xbf") in answer.body
    assert declared.encode() in answer.body
    assert f" data-vestibule-src='{HELD}'".encode() in answer.body


@pytest.mark.parametrize("codec", ["cp1252", "shift_jis", "gb18030"])
def test_our_own_words_are_read_in_every_encoding(site: Front, codec: str) -> None:
    answer = ask(site, markup("x").encode(codec), f"text/html; charset={codec.replace('cp', 'windows-')}")
    ours = answer.body.split(b"</head><body>")[1].split(b"<img")[0]
    assert b"&#" in ours, "German has umlauts"
    assert ours.isascii()


def test_an_undeclared_page_cannot_be_guessed_to_be_iso_2022_jp(site: Front) -> None:
    answer = ask(site, b'<a title="\x1b$B%!\x1b(B"><img src=//evil.example/x.gif>', top=False)
    assert answer.body.startswith(b'<a title="\x1a$B%!\x1a(B"><img ')
    assert b" data-vestibule-src=//evil.example/x.gif>" in answer.body


def test_a_page_in_an_encoding_that_browsers_do_not_show_is_no_other(site: Front) -> None:
    answer = ask(site, markup("x").encode(), "text/html; charset=iso-2022-kr")
    assert answer.all("content-type") == ["text/html; charset=iso-2022-kr"]


def test_what_is_no_page_does_not_become_one(site: Front) -> None:
    answer = ask(site, "\ufeff<script>1</script>".encode("utf-16-le"), "text/plain; x=text/html")
    assert answer.all("content-type") == ["text/plain; x=text/html"]
    answer = ask(site, b"<p>", "text/html; charset=utf-8", "image/png")
    assert answer.all("content-type") == ["text/html; charset=utf-8", "image/png"]


@pytest.mark.parametrize("body", [b"", b"\xff", b"\xff\xfe", b"\xff\xfe<", b"x", b"\xef\xbb", b"\x00\xd8"])
@pytest.mark.parametrize("type_", ["text/html", "text/html; charset=utf-16", "text/html; charset=iso-2022-jp"])
def test_pages_that_end_before_they_begin(site: Front, body: bytes, type_: str) -> None:
    assert 'id="vestibule' in ask(site, body, type_).body.decode("utf-8", "replace")


# Policies in the page


def policy_of(answer: Answer) -> str:
    return answer.text.split(" content=", 1)[1].split(">")[0]


def test_a_policy_in_the_page_is_opened_for_our_parts(site: Front) -> None:
    tag = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; form-action 'none'\">"
    policy = policy_of(ask(site, markup("x", tag).encode()))
    assert policy.startswith("\"default-src 'none'; form-action http://relaso.com/_privacy/; script-src http://")
    assert "; style-src http://relaso.com/_privacy/banner.css; connect-src http://relaso.com/_privacy/" in policy


@pytest.mark.parametrize(
    "policy", ["default-src 'self'", "  img-src *;;  Script-Src 'self' ", "default-src 'self', x-y"]
)
def test_one_that_is_open_already_keeps_its_bytes(site: Front, policy: str) -> None:
    tag = f'<META content="{policy}"  HTTP-EQUIV="content-security-policy">'
    assert tag in ask(site, markup("x", tag).encode()).text


def test_what_is_put_into_a_policy_is_escaped(site: Front) -> None:
    tag = "<meta http-equiv=content-security-policy content='default-src &apos;none&apos; &quot;&gt;&lt;img src=x&gt;'>"
    answer = ask(site, markup("x", tag).encode(), top=False)
    assert answer.text.count("<img") == 1
    assert policy_of(answer).startswith("\"default-src 'none' &quot;&gt;&lt;img src=x&gt;; script-src &quot;&gt;")


def test_without_scripts_policies_in_noscript_count(site: Front) -> None:
    tag = "<noscript><meta http-equiv=content-security-policy content=\"style-src 'none'\"></noscript>"
    assert "style-src http://relaso.com/_privacy/banner.css" in policy_of(ask(site, markup("x", tag).encode()))


# Headers of a page that is another than the site's


async def described(request: Request) -> Response:
    """A page with everything said about its bytes."""
    response = Response(markup("x").encode(), media_type="text/html")
    for name, value in DESCRIBED:
        response.headers.append(name, value)
    return response


DESCRIBED = (
    ("accept-ranges", "bytes"),
    ("content-digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
    ("content-md5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
    ("digest", "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
    ("last-modified", "Sat, 21 Nov 2026 10:00:00 GMT"),
    ("repr-digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
    ("signature", "a=:X48E:"),
    ("signature-input", 'a=("content-digest")'),
    ("cache-control", "public, no-transform, max-age=60"),
    ("etag", '"1"'),
)


@pytest.fixture(scope="module", params=["middleware", "proxy"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("bare")
    site = SITE_YAML + "limits: {page_bytes: 1MiB}\n"
    app = Starlette(routes=[Route("/described", described), Route("/bomb", bomb), Route("/events", events)])
    with front(request.param, configured(folder, site), folder / "state", app) as running:
        yield running


def test_a_rewritten_page_says_nothing_of_the_bytes_before(bare: Front) -> None:
    answer = bare.ask("/described")
    names = {name.lower() for name, _ in answer.headers}
    assert not names & {name for name, _ in DESCRIBED} - {"cache-control", "etag"}
    assert answer.get("cache-control") == "private, no-cache, no-transform"
    assert (answer.get("etag") or "").startswith('W/"vestibule.')
    assert answer.get("content-length") in (None, str(len(answer.body)))


@pytest.mark.parametrize("how", ["navigation", "part"])
def test_a_range_of_a_page_is_never_the_sites(how: str, bare: Front) -> None:
    destination = ("Sec-Fetch-Dest", "document" if how == "navigation" else "empty")
    answer = bare.ask("/described", ("Range", "bytes=0-99"), ("If-Range", '"1"'), destination)
    assert HELD not in answer.text or answer.text.count("data-vestibule-src") == 1
    assert answer.status in (200, 502)


BOMB = 64 << 20


async def bomb(request: Request) -> Response:
    """64 MiB of a page in some kilobytes; ``begun``: behind an ordinary beginning, which is sent first."""
    coding, begun = request.query_params["coding"], "begun" in request.query_params
    encoder = Encoder(coding)
    first = encoder.feed(markup("x").encode() * 200) if begun else b""
    rest = encoder.feed(bytes(BOMB)) + encoder.close()

    async def pieces() -> object:
        if begun:
            yield first
            await asyncio.sleep(0.2)
        yield rest

    headers = {"content-encoding": coding}
    return StreamingResponse(pieces(), media_type="text/html", headers=headers)  # type: ignore[arg-type]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_decompression_bomb_is_cut_off(coding: str, begun: bool, bare: Front) -> None:
    """With an error where nothing was sent yet, else visibly."""
    path = f"/bomb?coding={coding}" + "&begun" * begun
    if begun:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)) as caught:
            bare.ask(path, ("Accept-Encoding", coding))
        assert len(getattr(caught.value, "partial", b"")) < 1 << 20
    else:
        assert bare.ask(path, ("Accept-Encoding", coding)).status == 502


async def events(request: Request) -> Response:
    """Server-sent events, each when the one before was told to have arrived."""

    async def pieces() -> object:
        for number in range(3):
            yield f"data: {number}\n\n".encode()
            await asyncio.to_thread(ARRIVED[number].wait, 10)

    return StreamingResponse(pieces(), media_type="text/event-stream")  # type: ignore[arg-type]


ARRIVED = [threading.Event() for _ in range(3)]


def test_events_are_passed_on_one_by_one(bare: Front) -> None:
    for event in ARRIVED:
        event.clear()
    connection = http.client.HTTPConnection(urlsplit(bare.url).netloc, timeout=5)
    connection.request("GET", "/events", headers={"Host": "relaso.com", "Accept": "text/event-stream"})
    response = connection.getresponse()
    for number, event in enumerate(ARRIVED):
        assert response.readline() + response.readline() == b"data: %d\n\n" % number
        event.set()
    assert response.read() == b""
    connection.close()


@pytest.mark.parametrize(
    ("tag", "said"),
    [("<html lang=fr>", "fr"), ("<html lang=fr-CA>", "fr"), ("<html>", "de"), ("<html lang=tlh>", "de"), ("", "de")],
)
def test_the_banner_speaks_as_the_page_does(site: Front, tag: str, said: str) -> None:
    answer = ask(site, f"{tag}<p>x<vestibule-declaration></vestibule-declaration>".encode())
    assert f'lang="{said}"' in answer.text.partition('id="vestibule"')[2].partition(">")[0]
    assert f'<vestibule-declaration><div class="vestibule-declaration" lang="{said}"' in answer.text
