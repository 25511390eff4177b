from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.codings import CODINGS, CodingError, Decoder, Encoder

LIMIT = 1 << 26


def encoded(coding: str, parts: list[bytes]) -> bytes:
    encoder = Encoder(coding)
    return b"".join([*map(encoder.feed, parts), encoder.close()])


def decoded(coding: str, pieces: list[bytes], limit: int = LIMIT) -> bytes:
    decoder = Decoder(coding, limit)
    out = b"".join(part for piece in pieces for part in decoder.feed(piece))
    decoder.close()
    return out


@pytest.mark.parametrize("coding", CODINGS)
@given(parts=st.lists(st.binary(max_size=3000), max_size=8), step=st.integers(1, 500))
def test_what_is_coded_decodes_at_any_chunking(coding: str, parts: list[bytes], step: int) -> None:
    body = encoded(coding, parts)
    assert decoded(coding, [body[at : at + step] for at in range(0, len(body), step)]) == b"".join(parts)


@pytest.mark.parametrize("coding", CODINGS)
def test_each_piece_can_be_read_before_the_next_is_sent(coding: str) -> None:
    encoder, decoder = Encoder(coding), Decoder(coding, LIMIT)
    for piece in (b"<html>", b"<body>" * 50, b"end"):
        assert b"".join(decoder.feed(encoder.feed(piece))) == piece


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_cut_off_and_never_unfolds_at_once(coding: str) -> None:
    bomb = encoded(coding, [bytes(1 << 22)] * 64)
    assert len(bomb) < 1 << 19
    sizes: list[int] = []
    with pytest.raises(CodingError, match="page_bytes"):
        sizes.extend(map(len, Decoder(coding, LIMIT).feed(bomb)))
    assert sum(sizes) <= LIMIT
    assert max(sizes) <= 8 << 20


@pytest.mark.parametrize("coding", CODINGS)
def test_damage_is_noticed(coding: str) -> None:
    body = bytearray(encoded(coding, [b"<p>text</p>" * 100]))
    body[2:6] = b"\xff\xff\xff\xff"
    with pytest.raises(CodingError):
        decoded(coding, [bytes(body)])


@pytest.mark.parametrize("coding", [coding for coding in CODINGS if coding != "zstd"])
def test_a_body_that_was_cut_off_is_noticed(coding: str) -> None:
    with pytest.raises(CodingError):
        decoded(coding, [encoded(coding, [b"<p>text</p>" * 100])[:-5]])


def test_deflate_without_its_wrapper_is_read_too() -> None:
    import zlib

    compressor = zlib.compressobj(wbits=-15)
    assert decoded("deflate", [compressor.compress(b"page" * 99) + compressor.flush()]) == b"page" * 99


def test_gzip_members_follow_each_other() -> None:
    assert decoded("gzip", [encoded("gzip", [b"one"]) + encoded("gzip", [b"two"]) + bytes(20)]) == b"onetwo"
