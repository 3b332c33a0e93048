"""Heads that llhttp accepts and that still do not say unambiguously where their request ends."""

import pytest

from service.server.framing import body_length, fault

HOST = (b"host", b"x")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("version", "headers", "says"),
    [
        ("0.9", [], "HTTP/0.9 is not supported"),
        ("2.0", [HOST], "HTTP/2.0 is not supported"),
        ("1.1", [], "There are 0 Host headers"),
        ("1.1", [HOST, HOST], "There are 2 Host headers"),
        ("1.0", [HOST, HOST], "There are 2 Host headers"),
        ("1.0", [CHUNKED], "HTTP/1.0 has no Transfer-Encoding"),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], "one 'chunked'"),
        ("1.1", [HOST, (b"transfer-encoding", b"identity")], "one 'chunked'"),
        ("1.1", [HOST, (b"transfer-encoding", b"xchunked")], "one 'chunked'"),
        ("1.1", [HOST, (b"transfer-encoding", b"x"), CHUNKED], "one 'chunked'"),
        ("1.1", [HOST, (b"transfer-encoding", b""), CHUNKED], "one 'chunked'"),
        ("1.1", [HOST, CHUNKED, CHUNKED], "one 'chunked'"),
        ("1.1", [HOST, (b"content-length", b"0" * 5000)], "Content-Length has 5000 digits"),
    ],
)
def test_a_fault_is_named(version: str, headers: list[tuple[bytes, bytes]], says: str) -> None:
    sentence = fault(version, headers)
    assert sentence is not None
    assert says in sentence


@pytest.mark.parametrize(
    ("version", "headers", "length"),
    [
        ("1.0", [], 0),
        ("1.0", [(b"content-length", b"3")], 3),
        ("1.1", [HOST, CHUNKED], None),
        ("1.1", [(b"transfer-encoding", b" Chunked "), HOST], None),
        ("1.1", [HOST, (b"content-length", b"003")], 3),
    ],
)
def test_the_length_of_the_body(
    version: str, headers: list[tuple[bytes, bytes]], length: int | None
) -> None:
    assert fault(version, headers) is None
    assert body_length(headers) == length
