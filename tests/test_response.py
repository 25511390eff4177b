"""Pages in any encoding, and policies that pages carry themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.sites import Answer, Front, configured, front

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
