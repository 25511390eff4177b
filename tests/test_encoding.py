"""Which encoding a page is read in, by the standards' own examples and by attacks on it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.html.encoding import (
    NAMES,
    Clarifier,
    Transcoder,
    charset,
    codec,
    declared,
    detect,
    enough,
    needs_transcoding,
    reader,
)
from vestibule.core.html.gate import UNREADABLE, Gated
from vestibule.core.html.rewriter import Rewriter

PIECES = [
    b"<meta charset=",
    b"big5",
    b">",
    b"<!--",
    b"-->",
    b"<meta charset='koi8-r'>",
    b"<?xml encoding='gbk'?>",
    b"<a ",
]


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    position = 0
    for cut in cuts:
        yield data[position : position + cut]
        position += cut
    yield data[position:]


CASES: list[tuple[str | None, bytes, str]] = [
    (None, b"", "utf-8"),
    (None, b"<p>gr\xc3\xbcn", "utf-8"),
    (None, b"<p>gr\xfcn", "windows-1252"),
    (None, b"<p>cut \xc3", "utf-8"),
    ("utf-8", b"<meta charset=iso-2022-jp>", "utf-8"),
    ("UTF-8", b"\xff\xfe<\0", "utf-16le"),
    ("iso-8859-1", b"\xef\xbb\xbfx", "utf-8"),
    ("iso-8859-1", b"", "windows-1252"),
    ('"Shift_JIS"', b"", "shift_jis"),
    ("utf-16", b"", "utf-16le"),
    ("utf-7", b"", "utf-8"),
    ("utf-32", b"<meta charset=koi8-r>", "koi8-r"),
    ("hz-gb-2312", b"", "replacement"),
    (None, b"\xfe\xff\0<", "utf-16be"),
    (None, b"<meta charset=ISO-2022-JP>", "iso-2022-jp"),
    (None, b"<meta charset = ' iso-2022-jp '>", "iso-2022-jp"),
    (None, b'<meta http-equiv="Content-Type" content="text/html; charset=csISO2022JP">', "iso-2022-jp"),
    (None, b'<meta content="text/html; charset=big5" http-equiv=content-type>', "big5"),
    (None, b'<meta name=x content="charset=big5">', "utf-8"),
    (None, b"<meta charset=utf-16>", "utf-8"),
    (None, b"<!-- <meta charset=big5> --><meta charset=koi8-r>", "koi8-r"),
    (None, b"<!--><meta charset=big5>", "big5"),
    (None, b"<? <meta charset=big5> ><meta charset=koi8-r>", "koi8-r"),
    (None, b"<a title='<meta charset=big5>'><meta charset=koi8-r>", "koi8-r"),
    (None, b"<metal charset=big5>", "utf-8"),
    (None, b"<meta charset=none><meta charset=koi8-r>", "koi8-r"),
    (None, b"<script>'<meta charset=big5>'</script>", "big5"),
    (None, b" " * 1100 + b"<meta charset=big5>", "utf-8"),
]


@pytest.mark.parametrize(("charset", "first", "name"), CASES)
def test_detection(charset: str | None, first: bytes, name: str) -> None:
    assert detect(charset, first) == name


def test_every_encoding_can_be_decoded() -> None:
    for name in set(NAMES.values()):
        assert codecs.lookup(codec(name)).name
        if not needs_transcoding(name):
            ascii_text = bytes(range(0x20, 0x7F)).decode("ascii")
            assert ascii_text.encode(codec(name)) == ascii_text.encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("utf-16le", "\ufeff<p>Grüße 𝄞".encode("utf-16-le")),
        ("utf-16be", "<p>Grüße 𝄞".encode("utf-16-be")),
        ("iso-2022-jp", "<p>日本語 <img>".encode("iso2022_jp")),
    ],
)
def test_transcoding_in_pieces(name: str, data: bytes) -> None:
    whole = Transcoder(name)
    text = whole.feed(data) + whole.close()
    assert text.startswith(b"<p>")
    bytewise = Transcoder(name)
    assert b"".join(bytewise.feed(data[at : at + 1]) for at in range(len(data))) + bytewise.close() == text


def test_markup_hidden_in_a_shifted_state_shows_after_transcoding() -> None:
    """In ISO-2022-JP bytes of ASCII can be halves of characters, and "\\x1b(B" makes them markup again."""
    transcoder = Transcoder("iso-2022-jp")
    text = transcoder.feed(b'<a title="\x1b$B%!\x1b(B"><img src=//evil.example/>') + transcoder.close()
    assert b"<img src=//evil.example/>" in text


@pytest.mark.parametrize(
    ("headers", "essence", "label"),
    [
        (["text/html"], "text/html", None),
        (["Text/HTML; Charset=UTF-8"], "text/html", "UTF-8"),
        (['text/html;charset="shift_jis"'], "text/html", "shift_jis"),
        (["text/html; charset=utf-8; charset=utf-16"], "text/html", "utf-8"),
        (['text/html; x="; charset=utf-16"; charset=utf-8'], "text/html", "utf-8"),
        (["text/html; charset=; charset=utf-16; charset"], "text/html", "utf-16"),
        (["text/html; charset = utf-16"], "text/html", None),
        (["text/html; charset=koi8-r, text/html"], "text/html", "koi8-r"),
        (["text/html; charset=koi8-r", "text/html; charset=big5"], "text/html", "big5"),
        (["text/html; charset=koi8-r", "image/svg+xml"], "image/svg+xml", None),
        (["text/html; charset=big5", "*/*", "nonsense"], "text/html", "big5"),
        ([], "", None),
    ],
)
def test_several_headers_are_taken_together_as_browsers_do(headers: list[str], essence: str, label: str | None) -> None:
    assert charset(headers) == (essence, label)


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b'<?xml version="1.0" encoding="koi8-r"?><p>', "koi8-r"),
        (b"<?xml version='1.0' encoding = 'utf-16' ?><p>", "utf-8"),
        (b'<?xml version="1.0" encoding="koi8-r"?><meta charset=big5>', "big5"),
        (b'<?xml version="1.0"?> encoding="koi8-r"', None),
        (b' <?xml version="1.0" encoding="koi8-r"?>', None),
        ("<?xml ?><p>".encode("utf-16-le"), "utf-16le"),
        ("<?xml ?><p>".encode("utf-16-be"), "utf-16be"),
        (b"<p>", None),
    ],
)
def test_a_page_may_declare_itself_as_xml_does(first: bytes, name: str | None) -> None:
    assert declared(None, first) == name


@given(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=6), st.integers(0, 200))
def test_what_is_enough_is_enough(noise: bytes, pieces: list[bytes], cut: int) -> None:
    page = b"".join((*pieces, noise))
    if enough(None, page[:cut]):
        assert declared(None, page[:cut]) == declared(None, page)


def test_with_a_header_only_a_byte_order_mark_is_waited_for() -> None:
    assert not enough("utf-8", b"<p")
    assert enough("utf-8", b"<p>")
    assert not enough("utf-7", b"<p>")
    assert enough(None, b"<meta charset=utf-8>")
    assert not enough(None, b"<meta charset=utf-8")
    assert enough(None, b" " * 1024)


# Two readings of the same bytes. A smuggler needs one in which a tag begins or ends elsewhere.

SMUGGLED = b"<svg><![CDATA[\x81]]><!-- ]]><img src=//evil.example/a.gif> -->"
"""In Shift_JIS the section ends at the second ``]]>`` and the image loads; by bytes it stands in a comment."""


def read_as(name: str, page: bytes) -> list[str | None]:
    """The sources that a browser loads from a page in this encoding."""
    tree = html5lib.parse(page.decode(name, "replace"), namespaceHTMLElements=False)
    return [element.get("src") for element in tree.iter() if str(element.tag).endswith(("img", "image"))]


def test_the_smugglers_page_is_one() -> None:
    assert read_as("cp932", SMUGGLED) == ["//evil.example/a.gif"]
    assert read_as("latin-1", SMUGGLED) == []


@pytest.mark.parametrize("label", ["shift_jis", "gbk", "gb18030", "big5", None])
@given(cuts=st.lists(st.integers(1, 9), max_size=30))
def test_a_section_ends_at_the_same_place_in_every_encoding(label: str | None, cuts: list[int]) -> None:
    through = reader(label)
    assert isinstance(through, Clarifier)
    clear = b"".join(through.feed(piece) for piece in pieces(SMUGGLED, cuts)) + through.close()
    assert clear == SMUGGLED.replace(b"\x81]]>", b"\x81 ]]>")
    assert read_as("cp932", clear) == read_as("latin-1", clear) == []


@given(
    st.lists(st.sampled_from([b"]", b">", b"\x81", b"\xfe", b"\x1b", b"<![CDATA[", b"a", b"\n"]), max_size=30),
    st.lists(st.integers(1, 4), max_size=40),
)
def test_clearing_does_not_hang_on_pieces(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole, cut = Clarifier(escapes=True), Clarifier(escapes=True)
    text = whole.feed(data) + whole.close()
    assert b"".join(cut.feed(piece) for piece in pieces(data, cuts)) + cut.close() == text
    assert b"\x1b" not in text
    assert not re.search(rb"[\x80-\xff]\]\]>", text)
    assert text.replace(b" ", b"").replace(b"\x1a", b"\x1b") == data.replace(b" ", b"")


def test_no_escape_is_left_where_iso_2022_jp_might_be_guessed() -> None:
    page = b'<a title="\x1b$B%!\x1b(B"><img src=//evil.example/>'
    assert "<img" in page.decode("iso2022_jp", "replace").replace('"', "", 1)
    through = reader(None)
    assert through is not None
    clear = through.feed(page) + through.close()
    assert clear.decode("iso2022_jp") == clear.decode("ascii"), "both readings are one"


def test_taking_out_does_not_join() -> None:
    through = Clarifier(escapes=True)
    assert b"<script" not in through.feed(b"<scr\x1bipt src=//evil.example/>")


@pytest.mark.parametrize("label", ["utf-8", "windows-1252", "euc-jp", "euc-kr", "koi8-r", "replacement"])
def test_other_encodings_are_read_as_they_are(label: str) -> None:
    assert reader(label) is None


LEADS = range(0x81, 0xFF)
MARKS = b"\t\n\f\r !\"&'-/<=>?"
"""What tags, attributes, comments and raw text begin and end with."""


@pytest.mark.parametrize("label", ["shift_jis", "gbk", "big5", "euc-kr", "euc-jp"])
def test_no_mark_of_markup_is_ever_half_a_character(label: str) -> None:
    for lead in LEADS:
        for mark in MARKS:
            text = bytes([lead, mark, 0x61, 0x61]).decode(codec(label), "replace")
            assert text.endswith(chr(mark) + "aa"), (label, lead, mark)


def test_in_gb18030_only_digits_are_second_bytes_below_the_letters() -> None:
    for lead in LEADS:
        for mark in MARKS:
            for rest in (b"", b"\x81", b"\x810"):
                assert chr(mark) in (bytes([lead, mark]) + rest).decode("gb18030", "replace")


def test_hosts_in_an_unknown_encoding_are_nobodys() -> None:
    """By windows-1252 a soft hyphen, which hosts ignore; by GBK half of a character, and the rest another's host."""
    page = b'<img src="//site.example\xad\\@evil.example/x.gif">'
    asked: list[str] = []

    class Asked:
        def url(self, url: str, kind: str) -> Gated | None:
            asked.append(url)
            return None

        def inline(self, text: bytes) -> Gated | None:
            return None

    rewriter = Rewriter("https://site.example/", Asked(), encoding=codec(None))
    assert rewriter.feed(page) + rewriter.close() == page
    assert asked == [UNREADABLE]
