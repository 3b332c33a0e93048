"""HTTP by hand, for what no client library would send."""

import io
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from typing import Any

from PIL import Image

from tests.support.processes.gateway_process import GatewayProcess

MUCH = 8


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self, status: int, kind: str) -> str:
        """Checks the whole problem; returns its sentence."""
        assert self.status == status, self
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert set(found) == {"type", "title", "status", "detail", "request_id"}
        assert (found["type"], found["status"]) == (f"urn:problem:{kind}", status)
        assert found["request_id"] == self.headers["x-request-id"]
        return str(found["detail"])


def connect(gateway: GatewayProcess, receive_buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(20)
    client.connect(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
    return client


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def post(*fields: str, body: bytes = b"", path: str = "/detect") -> bytes:
    """Without Content-Length, unless a field says it."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: image/jpeg", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def whole(body: bytes, *fields: str, path: str = "/detect") -> bytes:
    """A POST with its Content-Length."""
    return post(f"Content-Length: {len(body)}", *fields, body=body, path=path)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(body: bytes, *fields: str) -> bytes:
    """A POST whose body is one chunk."""
    return post("Transfer-Encoding: chunked", *fields, body=chunk(body) + b"0\r\n\r\n")


def answers(received: bytes) -> list[Answer]:
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        assert len(received) >= length
        found.append(Answer(int(first.split()[1]), headers, received[:length]))
        received = received[length:]
    return found


def to_the_end(client: socket.socket) -> list[Answer]:
    """What still comes until the other side ends the connection."""
    return answers(b"".join(iter(lambda: client.recv(65536), b"")))


def one(client: socket.socket) -> Answer:
    """The next answer, where no other follows it before the next request."""
    response = HTTPResponse(client)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def exchange(gateway: GatewayProcess, sent: bytes) -> list[Answer]:
    with connect(gateway) as client:
        client.sendall(sent)
        return to_the_end(client)


@cache
def much() -> bytes:
    """Requests for pictures to be drawn, of which the answers are more than the kernel holds."""
    out = io.BytesIO()
    Image.effect_noise((3000, 2000), 120).convert("RGB").save(out, "JPEG", quality=5)
    data = out.getvalue()
    request = post(f"Content-Length: {len(data)}", body=data, path="/detect?format=image")
    return request * MUCH


def push(client: socket.socket, pieces: Iterable[bytes]) -> int:
    """Sends until the other side has had enough; returns how many bytes went."""
    sent = 0
    try:
        for piece in pieces:
            client.sendall(piece)
            sent += len(piece)
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass
    return sent
