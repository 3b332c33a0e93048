"""A request's answer, picture by picture: what was detected, or the kind of its failure."""

import json
import time
from typing import Any, NamedTuple

from .caller import Answer, Model
from .connection import Broken, Connection, Unreachable

# Kinds of failure that are no HTTP status.
UNREACHABLE = "unreachable"  # no connection could be made
BROKEN = "connection"  # it ended before the answer
TIMEOUT = "timeout"
INTERRUPTED = "interrupted"  # the run ended before the answer
STRANGE = "not detections"  # 200, with something else

CORNERS = ("x_min", "y_min", "x_max", "y_max")


class Outcome(NamedTuple):
    """Of one request. `replies`: of each of its `pictures`; `latency_s` where it was answered."""

    pictures: list[int]
    replies: list[Answer | str]
    latency_s: float | None
    detail: str = ""  # what the service, or the network, said of a failure

    @property
    def service_failed(self) -> bool:
        """It was nobody's picture: the service cannot be reached, or fails."""
        kinds = {reply for reply in self.replies if isinstance(reply, str)}
        return bool(kinds & {UNREACHABLE, BROKEN, TIMEOUT}) or any(k[:1] == "5" for k in kinds)


async def ask(
    connection: Connection, request: bytes, pictures: list[int], since: float | None = None
) -> Outcome:
    """Send, and wait. The latency counts from `since` (of `time.perf_counter`), or from now."""
    started = time.perf_counter() if since is None else since
    try:
        status, body = await connection.exchange(request)
    except Unreachable as error:
        return _failed(pictures, UNREACHABLE, str(error))
    except Broken as error:
        return _failed(pictures, BROKEN, str(error))
    except TimeoutError:
        return _failed(pictures, TIMEOUT, "no answer in time")
    latency_s = time.perf_counter() - started
    if status != 200:
        return _failed(pictures, str(status), detail(body))
    try:
        found = json.loads(body)
        results = found.get("results", [found])
        replies = [_reply(result) for result in results]
        if len(replies) != len(pictures):
            raise ValueError(f"{len(replies)} answers for {len(pictures)} pictures")
    except (ValueError, KeyError, TypeError, AttributeError):
        return _failed(pictures, STRANGE, detail(body))
    return Outcome(pictures, replies, latency_s)


def _failed(pictures: list[int], kind: str, said: str) -> Outcome:
    return Outcome(pictures, [kind] * len(pictures), None, said)


def _reply(found: dict[str, Any]) -> Answer | str:
    if "error" in found:
        return str(found["error"]["status"])
    return Answer(
        Model(found["model"]["name"], found["model"]["version"]),
        found["image"]["width"],
        found["image"]["height"],
        [[d["label"], d["score"], *(d["box"][c] for c in CORNERS)] for d in found["detections"]],
    )


def detail(body: bytes) -> str:
    """A problem's sentence (RFC 9457), or how an answer of somebody else begins."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body[:200].decode("utf-8", "replace").split()) or "no reason given"
