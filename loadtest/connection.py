"""HTTP/1.1 as bytes over kept-alive connections: what load can be made of at little cost."""

import asyncio
import http
import ssl
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from .media_type import media_type
from .stopped import Stopped

ANSWER_WITHIN_S = 60
CONNECT_WITHIN_S = 10
BOUNDARY = "----loadtest-8d0b1f6c2e9a4573"


class Address(NamedTuple):
    """Where a service is. `path`: what stands before `/detect`, mostly nothing."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None

    def request(self, call: str, content_type: str, body: bytes) -> bytes:
        head = (
            f"POST {self.path}{call} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Accept: application/json\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def detect(self, picture: bytes, query: str = "") -> bytes:
        return self.request(f"/detect{query}", media_type(picture), picture)

    def detect_batch(self, pictures: Sequence[bytes], query: str = "") -> bytes:
        parts = []
        for picture in pictures:
            head = (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"'
                f"\r\nContent-Type: {media_type(picture)}\r\n\r\n"
            )
            parts += [head.encode(), picture, b"\r\n"]
        body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        return self.request(
            f"/detect/batch{query}", f"multipart/form-data; boundary={BOUNDARY}", body
        )

    def readyz(self) -> bytes:
        head = f"GET {self.path}/readyz HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode()


def address(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Stopped(f"--url {url}: this is no port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Stopped(f"--url {url}: something like http://localhost:8000 is expected")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return Address(parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"), tls)


class Unreachable(Exception):
    """No connection could be made."""


class Broken(Exception):
    """The connection ended, or spoke no HTTP, before there was an answer."""


class Connection:
    """One request at a time. It connects when it must, and anew after any failure."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def exchange(
        self, request: bytes, within_s: float = ANSWER_WITHIN_S
    ) -> tuple[int, bytes]:
        """Status and body. Raises Unreachable, Broken or TimeoutError."""
        if self._streams and self._streams[0].at_eof():
            self.close()  # the other side closed it while it was idle
        try:
            async with asyncio.timeout(within_s):
                if not self._streams:
                    self._streams = await self._open()
                status, body, kept = await _exchange(*self._streams, request)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise
            raise Broken(str(error)) from error
        except BaseException:
            self.close()
            raise
        if not kept:
            self.close()
        return status, body

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port, _, tls = self._address
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                return await asyncio.open_connection(host, port, ssl=tls)
        except OSError as error:  # TimeoutError is one
            raise Unreachable(error.strerror or str(error) or "no answer to connecting") from error


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes, bool]:
    writer.write(request)
    # Not awaited to the end: too large a body is refused while it is still being sent.
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    if not first.startswith("HTTP/1."):
        raise ValueError("this is not HTTP/1")
    status = http.HTTPStatus(int(first.split()[1])).value
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
    }
    kept = fields.get("connection", "").lower() != "close" and first.startswith("HTTP/1.1")
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return status, await _chunks(reader), kept
    if "content-length" in fields:
        return status, await reader.readexactly(int(fields["content-length"])), kept
    return status, await reader.read(), False


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return b"".join(parts)
