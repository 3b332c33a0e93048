"""Pieces end at empty lines, however the bytes arrive."""

import pytest

from service.server.receive_buffer import ReceiveBuffer

STREAM = b"a\r\n\r\nb\r\n\r\n\r\nc\r\n\r\r\n\r\nd"


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1))
def test_every_empty_line_ends_a_piece(size: int) -> None:
    buffer = ReceiveBuffer()
    pieces = []
    for at in range(0, len(STREAM), size):
        buffer.append(STREAM[at : at + size])
        while buffer:
            pieces.append(bytes(buffer.take_to_empty_line()))
    assert b"".join(pieces) == STREAM
    ends = {len(b"".join(pieces[: n + 1])) for n in range(len(pieces))}
    assert {5, 10, 20, 21} <= ends


def test_take_is_bounded_by_the_count_and_by_what_there_is() -> None:
    buffer = ReceiveBuffer()
    assert len(buffer) == 0
    buffer.append(b"abcdef")
    assert bytes(buffer.take(4)) == b"abcd"
    assert len(buffer) == 2
    buffer.append(b"gh")
    assert bytes(buffer.take(10)) == b"efgh"
    assert not buffer


def test_a_chunk_of_a_body_is_not_copied() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"head\r\n\r\nbody")
    assert bytes(buffer.take_to_empty_line()) == b"head\r\n\r\n"
    assert bytes(buffer.take(100)) == b"body"
    chunk = b"x" * 50
    buffer.append(chunk)
    assert buffer.take(96) is chunk


def test_what_was_taken_is_not_kept() -> None:
    buffer = ReceiveBuffer()
    for _ in range(100):
        buffer.append(b"x" * 1000)
        buffer.take(1000)
    assert len(buffer._data) < 2000
