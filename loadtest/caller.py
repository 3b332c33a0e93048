"""Pictures to `POST /detect` over a kept-alive connection: what is refused, what is waited for."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from typing import Any, NamedTuple

from .connection import address
from .media_type import media_type
from .stopped import Stopped

REFUSED = (400, 413, 415)  # this picture's fault; any other 4xx would meet them all
LATER = (429, 500, 502, 503, 504)
PAUSE_S = 0.2  # between two tries where the service does not say how long
ANSWER_WITHIN_S = 60


class Refused(Exception):
    """The service will not have this picture. `kind`: the HTTP status."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Model(NamedTuple):
    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class Answer(NamedTuple):
    """Pixels of the picture as the service sees it."""

    model: Model
    width: int
    height: int
    detections: list[list[Any]]  # label, score, x_min, y_min, x_max, y_max


class Caller:
    """One connection, for one thread.

    `patience_s`: how long one picture is tried again where the service is full, fails or cannot be
    reached. `stop` ends the waiting early.
    """

    def __init__(self, url: str, query: str, patience_s: float, stop: threading.Event) -> None:
        place = address(url)
        kind = http.client.HTTPSConnection if place.tls else http.client.HTTPConnection
        self._connection = kind(place.host, place.port, timeout=ANSWER_WITHIN_S)
        self._target = f"{place.path}/detect?{query}"
        self._url = url
        self._patience_s = patience_s
        self._stop = stop

    def close(self) -> None:
        self._connection.close()

    def detect(self, picture: bytes) -> Answer:
        """Raises Refused for this picture's fault, Stopped for what will not pass by itself."""
        give_up_at = 0.0
        while True:
            try:
                status, retry_after, body = self._exchange(picture)
            except (socket.gaierror, ssl.SSLError) as error:
                raise Stopped(f"{self._url} cannot be reached: {error}") from error
            except (OSError, http.client.HTTPException) as error:
                self.close()  # the next try connects anew
                pause_s, trouble = PAUSE_S, f"cannot be reached: {error}"
            else:
                if status == 200:
                    return self._parsed(body)
                if status in REFUSED:
                    raise Refused(str(status), _detail(body))
                pause_s, trouble = retry_after, f"answers {status}: {_detail(body)}"
                if status not in LATER:
                    raise Stopped(f"{self._url} {trouble}; is it the detection service?")
            now = time.monotonic()
            give_up_at = give_up_at or now + self._patience_s
            if now >= give_up_at or self._stop.is_set():
                raise Stopped(f"{self._url} {trouble} (tried for {self._patience_s:g} s)")
            self._stop.wait(min(pause_s, give_up_at - now))

    def _exchange(self, picture: bytes) -> tuple[int, float, bytes]:
        """Status, seconds to wait before another try, body."""
        headers = {"Content-Type": media_type(picture), "Accept": "application/json"}
        # Too large a body is refused while it is still being sent: then the answer is there.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.request("POST", self._target, picture, headers)
        response = self._connection.getresponse()
        body = response.read()
        after = response.getheader("Retry-After", "")
        return response.status, max(float(after), PAUSE_S) if after.isdigit() else PAUSE_S, body

    def _parsed(self, body: bytes) -> Answer:
        try:
            found = json.loads(body)
            corners = ("x_min", "y_min", "x_max", "y_max")
            return Answer(
                Model(found["model"]["name"], found["model"]["version"]),
                found["image"]["width"],
                found["image"]["height"],
                [
                    [d["label"], d["score"], *(d["box"][corner] for corner in corners)]
                    for d in found["detections"]
                ],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Stopped(
                f"{self._url} answers 200, but not with detections; is it the detection service?"
            ) from error


def _detail(body: bytes) -> str:
    """A problem's sentence (RFC 9457), or how an answer of somebody else begins."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body[:200].decode("utf-8", "replace").split()) or "no reason given"
