"""Which encoding a page is read in, by the standards' own examples and by attacks on it."""

from __future__ import annotations

import codecs

import pytest

from vestibule.core.html.encoding import NAMES, Transcoder, codec, detect, needs_transcoding

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
