"""Callers in a closed loop, and the books of what each of their requests came to."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn

import httpx

from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

REFUSED = 0  # instead of an HTTP status: the connection was
SLACK_S = 3  # of a busy machine, over the request's deadline


@dataclass
class Callers:
    """`statuses`, `reasons` (of a problem) and `versions` count every request that has ended."""

    url: str
    callers: int = 6
    pause_s: float = 0.02
    keep_alive: bool = True
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0

    def __enter__(self) -> "Callers":
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._bugs: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(self.callers)]
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
            thread.join(60)
        if error is None and self._bugs:
            raise self._bugs[0]

    def _run(self) -> None:
        limits = httpx.Limits() if self.keep_alive else httpx.Limits(max_keepalive_connections=0)
        try:
            with httpx.Client(base_url=self.url, timeout=30, limits=limits) as http:
                while not self._stop.wait(self.pause_s):
                    self._one(http)
        except BaseException as error:  # what ends a caller ends the test
            self._bugs.append(error)

    def _one(self, http: httpx.Client) -> None:
        with self._lock:
            self.sent += 1
        started = time.monotonic()
        status, content = REFUSED, {}
        try:
            response = http.post(
                "/detect", content=picture(), headers={"Content-Type": "image/jpeg"}
            )
            status, content = response.status_code, strict(response.content)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            pass
        with self._lock:
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            self.statuses[status] += 1
            if status == 200:
                self.versions[content["model"]["version"]] += 1
            elif status != REFUSED:
                self.reasons[content["type"].removeprefix("urn:problem:")] += 1

    def until(self, status: int, more: int = 10, within_s: float = 20) -> None:
        """Waits for so many more answers of this status."""
        enough = self.statuses[status] + more
        wait_for(lambda: self._bugs or self.statuses[status] >= enough, within_s)

    def balance(self, gateway: GatewayProcess, deadline_s: float) -> None:
        """After the end: nothing was lost, nothing hung, and the gateway counted the same."""
        assert self.sent == self.statuses.total() > 0
        assert self.longest_s < deadline_s + SLACK_S
        assert set(self.statuses) <= {200, 503, 504}
        # The count of an answer is the last thing about it, and may come after it has arrived.
        counted = 'detect_requests_total{{code="{}",route="/detect"}}'
        wait_for(
            lambda: all(
                gateway.metric(counted.format(status)) == count
                for status, count in self.statuses.items()
            )
        )
        for reason, count in self.reasons.items():
            assert gateway.metric(f'detect_rejected_total{{reason="{reason}"}}') == count
        assert gateway.metric("detect_images_total") == self.statuses[200]
        assert gateway.metric("detect_in_flight") == gateway.metric("detect_queue_length") == 0


def strict(content: bytes) -> Any:
    """JSON without the NaN and Infinity that Python would let pass."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(content, parse_constant=refuse)
