"""Heads that llhttp lets pass and that still do not say where their request ends."""

import httptools
import pytest

from service.server.framing import body_only, fault

HOST = (b"host", b"x")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("version", "headers", "says"),
    [
        ("0.9", [], "HTTP/0.9 is not spoken here"),
        ("2.0", [HOST], "HTTP/2.0 is not spoken here"),
        ("1.1", [], "There are 0 Host headers"),
        ("1.1", [HOST, HOST], "There are 2 Host headers"),
        ("1.0", [HOST, HOST], "There are 2 Host headers"),
        ("1.0", [CHUNKED], "HTTP/1.0 has no Transfer-Encoding"),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], "only 'chunked' is read"),
        ("1.1", [HOST, (b"transfer-encoding", b"identity")], "only 'chunked' is read"),
        ("1.1", [HOST, (b"transfer-encoding", b"xchunked")], "only 'chunked' is read"),
    ],
)
def test_heads_with_a_fault(version: str, headers: list[tuple[bytes, bytes]], says: str) -> None:
    found = fault(version, headers)
    assert found is not None
    assert says in found


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.0", []),
        ("1.0", [(b"content-length", b"3")]),
        ("1.1", [HOST, CHUNKED]),
        ("1.1", [(b"transfer-encoding", b" Chunked "), HOST]),
        ("1.1", [HOST, (b"content-length", b"3")]),
    ],
)
def test_heads_without(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    assert fault(version, headers) is None


@pytest.mark.parametrize(
    ("headers", "sent", "body"),
    [
        ([HOST, (b"content-length", b"3")], b"abc", b"abc"),
        ([CHUNKED, HOST], b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        ([HOST, (b"upgrade", b"h2c")], b"", b""),
    ],
)
def test_a_head_of_the_body_only(
    headers: list[tuple[bytes, bytes]], sent: bytes, body: bytes
) -> None:
    class Seen:
        body = b""
        ends = 0

        def on_body(self, part: bytes) -> None:
            self.body += part

        def on_message_complete(self) -> None:
            self.ends += 1

    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(body_only(headers))
    parser.feed_data(sent)
    assert (seen.body, seen.ends) == (body, 1)
    with pytest.raises(httptools.HttpParserError, match="close"):
        parser.feed_data(b"GET / HTTP/1.1\r\n\r\n")
