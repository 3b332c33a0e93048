"""HTTP/1.1 client for load: prepared requests over keep-alive connections, at little cost."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import httptools

from . import CommandError
from .pictures import media_type

RESPONSE_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10
BOUNDARY = "----loadtest-8d0b1f6c2e9a4573"
REJECTED = (400, 413, 415)  # the fault of one picture; any other 4xx would meet all of them
CORNERS = ("x_min", "y_min", "x_max", "y_max")

# Kinds of failure that are not an HTTP status.
UNREACHABLE = "unreachable"  # no connection could be made
BROKEN = "connection"  # it was lost before the response
TIMEOUT = "timeout"
INTERRUPTED = "interrupted"  # the run ended before the response
UNEXPECTED = "not detections"  # status 200 with another body


class Service(NamedTuple):
    """Where a detection service is. `path`: prefix of `/detect`, usually empty."""

    url: str
    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None
    key: str | None = None

    @classmethod
    def at(cls, url: str, key: str | None = None) -> "Service":
        try:
            parts = urlsplit(url)
            host, port = unquote(parts.hostname or ""), parts.port
        except ValueError as error:
            raise CommandError(f"--url {url}: {error}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise CommandError(f"--url {url}: expected a URL such as http://localhost:8000")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = port or (443 if tls else 80)
        return cls(url, host, port, parts.path.rstrip("/"), tls, key)

    def request(self, line: str, content_type: str = "", body: bytes = b"") -> bytes:
        """`line`: method and path, such as `GET /readyz`."""
        method, _, path = line.partition(" ")
        # A zone id means something only on this host, so it is not sent (RFC 6874).
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        lines = [
            f"{method} {self.path}{path} HTTP/1.1",
            f"Host: {host}:{self.port}",
            "Accept: application/json",
        ]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        if content_type:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "\r\n"]).encode() + body

    def detect(self, picture: bytes, query: str = "") -> bytes:
        return self.request(f"POST /detect{query}", media_type(picture), picture)

    def detect_multipart(
        self, pictures: Sequence[bytes], query: str = "", path: str = "/detect/batch"
    ) -> bytes:
        parts = []
        for picture in pictures:
            head = (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"'
                f"\r\nContent-Type: {media_type(picture)}\r\n\r\n"
            )
            parts += [head.encode(), picture, b"\r\n"]
        body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        return self.request(
            f"POST {path}{query}", f"multipart/form-data; boundary={BOUNDARY}", body
        )


class Unreachable(Exception):
    """No connection could be made."""


class Broken(Exception):
    """The connection was lost, or carried something else than HTTP, before the response."""


class Response(NamedTuple):
    status: int
    body: bytes
    retry_after_s: float | None = None


class Connection:
    """One request at a time. Connects when needed, and again after any failure."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._protocol: _Protocol | None = None

    def close(self) -> None:
        if self._protocol:
            self._protocol.transport.abort()  # what is unsent need not be sent
            self._protocol = None

    async def exchange(
        self, request: bytes, timeout_s: float | None = RESPONSE_TIMEOUT_S
    ) -> Response:
        """Raises Unreachable, Broken or TimeoutError."""
        try:
            async with asyncio.timeout(timeout_s) if timeout_s else nullcontext():
                if not self._protocol or self._protocol.closed:
                    self._protocol = await self._connect()
                return await self._protocol.send(request)
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> "_Protocol":
        service = self._service
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, protocol = await asyncio.get_running_loop().create_connection(
                    _Protocol,
                    service.host,
                    service.port,
                    ssl=service.tls,
                    server_hostname=service.host.partition("%")[0] if service.tls else None,
                )
                return protocol
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            reason = getattr(error, "strerror", None) or str(error) or "connection timed out"
            raise Unreachable(reason) from error


class _Protocol(asyncio.Protocol):
    """Responses parsed by llhttp, without a callback per header, which costs as much again."""

    def __init__(self) -> None:
        self.closed = False
        self._head, self._in_body = b"", False
        self._body: list[bytes] = []
        self._response: asyncio.Future[Response] | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def send(self, request: bytes) -> "asyncio.Future[Response]":
        self._response = asyncio.get_running_loop().create_future()
        self._head, self._body = b"", []
        # Not flushed first: a body that is too large is rejected while it is still being sent.
        self.transport.write(request)
        return self._response

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._head += data  # and what follows the head in the same segment
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not an HTTP response: {error}")

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        self._in_body = False
        if status < 200:  # interim; the response follows
            self._head = self._head.partition(b"\r\n\r\n")[2]
            return
        if not self._parser.should_keep_alive():
            self.closed = True
            self.transport.abort()  # the rest of a rejected upload is not sent
        if self._response and not self._response.done():
            after = b"" if status == 200 else self._header(b"retry-after")
            retry_after_s = float(after) if after.isdigit() else None
            self._response.set_result(Response(status, b"".join(self._body), retry_after_s))
        else:
            self.transport.abort()  # an unsolicited response, such as 408 while idle

    def _header(self, name: bytes) -> bytes:
        head = self._head.partition(b"\r\n\r\n")[0]
        match = re.search(rb"(?i)\r\n%b:[ \t]*([^\r\n]*)" % name, head)
        return match[1].strip() if match else b""

    def connection_lost(self, error: Exception | None) -> None:
        framed = self._header(b"content-length") or self._header(b"transfer-encoding")
        if self._in_body and not framed and not error:
            self.on_message_complete()  # the end of the connection ends such a body
        self._fail(str(error or "closed by the service"))

    def _fail(self, reason: str) -> None:
        self.closed = True
        self.transport.abort()
        if self._response and not self._response.done():
            self._response.set_exception(Broken(reason))


class Model(NamedTuple):
    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class Answer(NamedTuple):
    """Detections of one picture, whose size and boxes are in pixels as the service sees it."""

    model: Model
    width: int
    height: int
    detections: list[list[Any]]  # label, score, x_min, y_min, x_max, y_max


class Outcome(NamedTuple):
    """What became of one request.

    `answers`: for each of its `pictures` the answer or the kind of failure. `latency_s` is None
    unless the status was 200.
    """

    pictures: list[int]
    answers: list[Answer | str]
    latency_s: float | None
    detail: str = ""  # the service's, or the network's, description of a failure
    retry_after_s: float | None = None

    @property
    def service_failed(self) -> bool:
        """Whether the service is unreachable or failing, so that no picture is to blame."""
        kinds = {answer for answer in self.answers if isinstance(answer, str)}
        return bool(kinds & {UNREACHABLE, BROKEN, TIMEOUT}) or any(k[:1] == "5" for k in kinds)


async def ask(
    connection: Connection, request: bytes, pictures: list[int], since: float | None = None
) -> Outcome:
    """Send a request and await its outcome. Latency counts from `since` (`time.perf_counter`)."""
    started = time.perf_counter() if since is None else since

    def failed(kind: str, detail: str, retry_after_s: float | None = None) -> Outcome:
        return Outcome(pictures, [kind] * len(pictures), None, detail, retry_after_s)

    try:
        status, body, retry_after_s = await connection.exchange(request)
    except Unreachable as error:
        return failed(UNREACHABLE, str(error))
    except Broken as error:
        return failed(BROKEN, str(error))
    except TimeoutError:
        return failed(TIMEOUT, "the response timed out")
    latency_s = time.perf_counter() - started
    if status != 200:
        return failed(str(status), problem_detail(body), retry_after_s)
    try:
        content = json.loads(body)
        answers = [_answer(result) for result in content.get("results", [content])]
        if len(answers) != len(pictures):
            raise ValueError(f"{len(answers)} results for {len(pictures)} pictures")
    except (ValueError, KeyError, TypeError, AttributeError):
        return failed(UNEXPECTED, problem_detail(body))
    return Outcome(pictures, answers, latency_s)


def _answer(result: dict[str, Any]) -> Answer | str:
    if "error" in result:
        return str(result["error"]["status"])
    return Answer(
        Model(result["model"]["name"], result["model"]["version"]),
        result["image"]["width"],
        result["image"]["height"],
        [[d["label"], d["score"], *(d["box"][c] for c in CORNERS)] for d in result["detections"]],
    )


def problem_detail(body: bytes) -> str:
    """`detail` of a problem (RFC 9457), or the beginning of any other body."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body[:200].decode("utf-8", "replace").split()) or "no reason given"
