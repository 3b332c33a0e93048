"""Senders of everything hostile: in one request, or on connections that no client would make."""

import http.client
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.callers.raw_http import chunk, connect, post, to_the_end, whole
from tests.support.inputs.hostile import JSON_PATH, Hostile, hostile
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

RAW_EVERY = 50  # requests
SILENT = 20  # connections at a time
SHORTEST_PAUSE_S = 0.02
REPEATED = post(
    "Transfer-Encoding: X", "Transfer-Encoding: chunked", body=chunk(b"x") + b"0\r\n\r\n"
)


class Answered(NamedTuple):
    """`reason`: the problem's type, empty for a 200."""

    status: int
    reason: str


def send(netloc: str, request: Hostile) -> Answered:
    with closing(
        http.client.HTTPConnection(netloc, timeout=120, source_address=(request.sender, 0))
    ) as connection:
        headers = {"Content-Type": "image/jpeg"}
        connection.request("POST", request.path, request.data, headers)
        response = connection.getresponse()
        content, status = response.read(), response.status
    if status == 200:
        return Answered(status, "")
    if request.path == JSON_PATH:
        return Answered(status, _json_reason(status, content))
    return Answered(status, json.loads(content)["type"].removeprefix("urn:problem:"))


def _json_reason(status: int, content: bytes) -> str:
    """The JSON route's errors have a form of their own, without the reason."""
    if status == 413:
        return "too-large"
    return "bad-picture" if b"not a picture" in content else "malformed-body"


class HostileSenders:
    """Each pauses for as long as its last request took, so that half of the time is the others'.

    `statuses`: by kind and status. `codes` and `reasons`: of `/detect`, and of all.
    """

    def __init__(self, gateway: GatewayProcess, senders: int) -> None:
        self.mutations = 0
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.codes: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self._gateway = gateway
        self._requests = hostile(None)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bugs: list[BaseException] = []
        work = [self._send_requests] * senders + [self._stay_silent]
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in work]

    def __enter__(self) -> "HostileSenders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if error is None and self._bugs:
            raise self._bugs[0]

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # what ends a sender ends the test
            self._bugs.append(error)

    def _send_requests(self) -> None:
        netloc = urlsplit(self._gateway.url).netloc
        for number in itertools.count(1):
            with self._lock:
                request = next(self._requests)
            started = time.monotonic()
            answered = send(netloc, request)
            self._count(request.kind, answered, request.path != JSON_PATH)
            if number % RAW_EVERY == 0:
                self._half_close()
                self._repeat_a_header()
            if self._stop.wait(max(SHORTEST_PAUSE_S, time.monotonic() - started)):
                return

    def _count(self, kind: str, answered: Answered, detect: bool) -> None:
        with self._lock:
            self.mutations += kind == "mutation"
            self.statuses[kind, answered.status] += 1
            self.codes[answered.status] += detect
            if answered.reason:
                self.reasons[answered.reason] += 1

    def _half_close(self) -> None:
        with connect(self._gateway) as client:
            client.sendall(whole(picture()))
            client.shutdown(socket.SHUT_WR)
            (answer,) = to_the_end(client)
        self._count("half-close", Answered(answer.status, ""), True)

    def _repeat_a_header(self) -> None:
        with connect(self._gateway) as client:
            client.sendall(REPEATED)
            (answer,) = to_the_end(client)
        with self._lock:
            self.statuses["repeated Transfer-Encoding", answer.status] += 1

    def _stay_silent(self) -> None:
        """Connections that send half a request line, opened again when they are closed."""
        clients = [self._silent() for _ in range(SILENT)]
        while not self._stop.wait(1):
            for index, client in enumerate(clients):
                try:
                    client.recv(65536)
                except BlockingIOError:
                    continue
                client.close()
                clients[index] = self._silent()
                self.statuses["silent", 408] += 1
        for client in clients:
            client.close()

    def _silent(self) -> socket.socket:
        client = connect(self._gateway)
        client.sendall(b"POST /det")
        client.setblocking(False)
        return client
