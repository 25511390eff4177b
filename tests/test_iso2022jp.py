"""ISO-2022-JP against Python's decoder where that is right, and against the standard where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.html.iso2022jp import Decoder

PARTS = [
    *(b"\x1b", b"\x1b$B", b"\x1b$@", b"\x1b(B", b"\x1b(J", b"\x1b(I", b"\x1b$("),
    *(b"$", b"(", b"B", b"<", b"\xff", b"\n", b"\\"),
]


def decoded(data: bytes) -> str:
    return Decoder().decode(data, True)


@given(st.text(st.characters(codec="iso2022_jp", exclude_characters="\x0e\x0f\x1b¥‾\\~"), max_size=40))
def test_it_reads_what_is_well_formed(text: str) -> None:
    # In twin cells Python and browsers differ, as the standards do: wave dash, double bar, minus and the like.
    twins = str.maketrans("∥～－￠￡￢", "‖〜−¢£¬")
    assert decoded(text.encode("iso2022_jp")).translate(twins) == text.translate(twins)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b(J\\~\x1b(B\\~", "¥‾\\~"),
        (b"\x1b(I1\x1b(B", "ｱ"),
        (b"\x1b$B-!", "①"),
        (b"\x1b$B%!<", "ァ�"),
        (b"\x1b$B%\x1b(B<b>", "�<b>"),
        (b"\x1b$B%\n%!", "�ァ"),
        (b"\x1b$(D<b>", "�$(D<b>"),
        (b"\x1b<b>", "�<b>"),
        (b"\x1b", "�"),
        (b"\x0e\x80\xff", "���"),
        (b"\x1b(I\x60\x20", "��"),
    ],
)
def test_what_is_malformed_is_replaced(data: bytes, text: str) -> None:
    assert decoded(data) == text


@given(st.lists(st.sampled_from(PARTS), max_size=30), st.lists(st.integers(1, 5), max_size=60))
def test_pieces_make_no_difference(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    decoder = Decoder()
    out, position = "", 0
    for cut in cuts:
        out += decoder.decode(data[position : position + cut])
        position += cut
    assert out + decoder.decode(data[position:], True) == decoded(data)
