"""Whether a head says without doubt where its request ends. What two readers could read in two ways
lets a request hide in another's body. llhttp refuses most such heads; here is what it lets pass."""

from collections.abc import Iterable


def fault(version: str, headers: list[tuple[bytes, bytes]]) -> str | None:
    """A sentence on what is wrong; names of `headers` are in small letters."""
    if version not in ("1.1", "1.0"):
        return f"HTTP/{version} is not spoken here; send HTTP/1.1."
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (version == "1.1" and not hosts):
        return f"There are {hosts} Host headers; send one."
    if b"transfer-encoding" in names:
        if version == "1.0":
            return "HTTP/1.0 has no Transfer-Encoding; send Content-Length, or HTTP/1.1."
        coding = dict(headers)[b"transfer-encoding"]
        if coding.strip().lower() != b"chunked":
            return "Of all Transfer-Encodings only 'chunked' is read; send that, or Content-Length."
    return None


def body_only(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A head that says of its body what `headers` say, and that nothing follows it."""
    fields = (b"%b: %b\r\n" % (name, value) for name, value in headers if name in LENGTHS)
    return b"POST / HTTP/1.1\r\nconnection: close\r\n%b\r\n" % b"".join(fields)


LENGTHS = (b"content-length", b"transfer-encoding")
