"""Closed-loop load that costs little itself: kept-alive connections that send prepared bytes.

A closed loop will do for CPU per request. Its latencies only compare servers with each other under
the same concurrency; what callers would see is measured with an open loop.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

PATIENCE_S = 10
BOUNDARY = "----gateway-bench-7f1d"


def raw_request(path: str, jpeg: bytes) -> bytes:
    return _request(path, "image/jpeg", jpeg)


def multipart_request(path: str, jpeg: bytes) -> bytes:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode()
    return _request(path, f"multipart/form-data; boundary={BOUNDARY}", body)


def _request(path: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class BadAnswer(Exception):
    """An answer that is not 200, or not the one that the same request got before."""


@dataclass
class Load:
    """What one window of load saw. All bodies are the same bytes: `body`."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    body: bytes = b""

    @property
    def answered(self) -> int:
        return len(self.latencies_s)


class _Connection(asyncio.Protocol):
    """Sends the request, reads its answer, and again until `stop_at`."""

    def __init__(self, request: bytes, stop_at: float, load: Load) -> None:
        self._request = request
        self._stop_at = stop_at
        self._load = load
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._send()

    def _send(self) -> None:
        self._received = b""
        self._needed = -1  # not known before the head is complete
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._needed < 0:
            head_end = self._received.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self._head_end = head_end + 4
            self._needed = self._head_end + _content_length(self._received[:head_end])
        if len(self._received) < self._needed:
            return
        now = time.perf_counter()
        if not self._is_expected():
            return
        self._load.latencies_s.append(now - self._sent_at)
        if now < self._stop_at:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _is_expected(self) -> bool:
        body = self._received[self._head_end :]
        self._load.body = self._load.body or body
        if self._received.startswith(b"HTTP/1.1 200 ") and body == self._load.body:
            return True
        self.done.set_exception(BadAnswer(self._received[:500].decode("utf-8", "replace")))
        self._transport.close()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(BadAnswer(f"The connection was closed: {error}"))


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise BadAnswer(f"An answer without Content-Length: {head[:500]!r}")


async def drive(port: int, request: bytes, connections: int, seconds: float) -> Load:
    """Load for `seconds`, and until what is under way then is answered.

    Raises BadAnswer, OSError, or TimeoutError where an answer takes longer than PATIENCE_S.
    """
    load = Load()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: _Connection(request, started + seconds, load), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    try:
        async with asyncio.timeout(seconds + PATIENCE_S):
            await asyncio.gather(*(protocol.done for _, protocol in opened))
    finally:
        for transport, _ in opened:
            transport.close()
    load.seconds = time.perf_counter() - started
    return load


def percentile(values: list[float], share: float) -> float:
    """The least of `values` that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-share * len(ordered) // 1)  # rounded up
    return ordered[max(int(rank), 1) - 1]
