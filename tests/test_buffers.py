"""What was read stays as it was for as long as anybody holds it, and buffers come back when nobody does."""

from __future__ import annotations

import random

import pytest

from vestibule.upstream.buffers import MOST, SIZE, WORTH, Buffers


def filled(buffers: Buffers, mark: int, size: int) -> bytes | memoryview:
    buffers.current[:size] = bytes([mark]) * size
    return buffers.taken(size)


@pytest.mark.parametrize("views", [False, True])
def test_pieces_keep_their_bytes(views: bool) -> None:
    chance, buffers = random.Random(1), Buffers(views=views)
    held: list[tuple[int, int, bytes | memoryview]] = []
    for number in range(2000):
        size = chance.choice([1, WORTH - 1, WORTH, SIZE])
        held.append((number % 251, size, filled(buffers, number % 251, size)))
        while held and chance.random() < 0.52:
            mark, length, piece = held.pop(chance.randrange(len(held)))
            assert len(piece) == length
            assert set(bytes(piece)) == {mark}
            del piece
    assert len(buffers._all) <= MOST


def test_small_pieces_and_those_of_others_are_copied() -> None:
    assert isinstance(filled(Buffers(views=True), 1, WORTH - 1), bytes)
    assert isinstance(filled(Buffers(views=False), 1, SIZE), bytes)


def test_at_the_bound_pieces_are_copied_and_reading_goes_on() -> None:
    buffers = Buffers(views=True)
    held = [filled(buffers, number, SIZE) for number in range(MOST + 5)]
    assert [isinstance(piece, memoryview) for piece in held] == [True] * (MOST - 1) + [False] * 6
    assert [piece[0] for piece in held] == list(range(MOST + 5))
    held.clear()
    assert isinstance(filled(buffers, 1, SIZE), memoryview)


def test_one_reader_at_a_time_needs_two() -> None:
    buffers = Buffers(views=True)
    for number in range(100):
        assert isinstance(filled(buffers, number, SIZE), memoryview)
    assert len(buffers._all) == 2


def test_buffers_that_are_not_needed_for_a_while_go() -> None:
    buffers = Buffers(views=True)
    held = [filled(buffers, number, SIZE) for number in range(9)]
    kept = held[5]
    held.clear()
    buffers.trim()
    assert len(buffers._all) == 10  # they were needed since the last time
    for number in range(9):
        assert isinstance(filled(buffers, number, SIZE), memoryview)
        buffers.trim()
        buffers.current[:5] = b"other"
    assert len(buffers._all) < 10
    buffers.trim()
    assert isinstance(filled(buffers, 1, SIZE), memoryview)
    assert set(bytes(kept)) == {5}
