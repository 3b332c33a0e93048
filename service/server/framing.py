"""Where a request ends. A head that two parsers could read differently is refused: it could hide a
request in another's body. llhttp refuses most such heads; this covers what it accepts."""

from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case

MAX_LENGTH_DIGITS = 20  # of Content-Length; int() refuses thousands of them, even zeros

# Makes a parser expect one chunked body, and nothing after it.
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def fault(version: str, headers: Headers) -> str | None:
    """What is wrong with a head and what to send instead, as a sentence; None if nothing is."""
    if version not in ("1.1", "1.0"):
        return f"HTTP/{version} is not supported; send HTTP/1.1."
    hosts = _values(headers, b"host")
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        return f"There are {len(hosts)} Host headers; send one."
    codings = _values(headers, b"transfer-encoding")
    if codings and version == "1.0":
        return "HTTP/1.0 has no Transfer-Encoding; send Content-Length, or HTTP/1.1."
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        return "The only supported Transfer-Encoding is one 'chunked'; send that or Content-Length."
    digits = max(map(len, _values(headers, b"content-length")), default=0)
    if digits > MAX_LENGTH_DIGITS:
        return f"Content-Length has {digits} digits; at most {MAX_LENGTH_DIGITS} are accepted."
    return None


def body_length(headers: Headers) -> int | None:
    """Bytes of the body; None if it is chunked. llhttp and `fault` must have accepted the head."""
    if _values(headers, b"transfer-encoding"):
        return None
    return int(next(iter(_values(headers, b"content-length")), 0))


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]
