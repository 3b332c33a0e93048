"""One answer per picture: rejected pictures are reported, other failures are retried."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NamedTuple

from .. import CommandError
from ..client import (
    BROKEN,
    REJECTED,
    TIMEOUT,
    UNREACHABLE,
    Answer,
    Broken,
    Connection,
    Model,
    Service,
    Unreachable,
    ask,
)
from ..load import failure
from .coco import Picture

# As COCO is evaluated: nearly all detections, and no more than the evaluation considers.
QUERY = {"score_threshold": 0.001, "max_detections": 100}
RETRIED = {BROKEN, TIMEOUT, UNREACHABLE, "429", "500", "502", "503", "504"}
BACKOFF_S = 0.2  # without a longer Retry-After


class Rejected(NamedTuple):
    """The service does not accept this picture."""

    status: str
    reason: str


async def answer_all(
    service: Service,
    pictures: Sequence[Picture],
    query: str,
    callers: int,
    patience_s: float,
    on_answer: Callable[[Picture, Answer | Rejected], None],
    stop: asyncio.Event,
) -> None:
    """Call `on_answer` for every picture, in the order of the responses.

    An error ends the run after the pending requests, and is then raised.
    """
    remaining = iter(pictures)
    errors: list[CommandError] = []

    async def caller() -> None:
        with closing(Connection(service)) as connection:
            for picture in remaining:
                if stop.is_set() or errors:
                    return
                try:
                    on_answer(
                        picture, await answer(connection, service, picture, query, patience_s, stop)
                    )
                except CommandError as error:
                    errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    if errors:
        raise errors[0]


async def answer(
    connection: Connection,
    service: Service,
    picture: Picture,
    query: str,
    patience_s: float,
    stop: asyncio.Event,
    retried: set[str] = RETRIED,
) -> Answer | Rejected:
    """Retries for `patience_s`. Raises CommandError for a failure that is not the picture's."""
    request = service.detect(picture.read(), query)
    give_up_at = time.monotonic() + patience_s
    while True:
        outcome = await ask(connection, request, [picture.id])
        result = outcome.answers[0]
        if isinstance(result, Answer):
            return result
        if result.isdigit() and int(result) in REJECTED:
            return Rejected(result, outcome.detail)
        error = failure(service.url, result, outcome.detail)
        if result not in retried:
            raise error
        left = give_up_at - time.monotonic()
        if left <= 0 or stop.is_set():
            raise CommandError(f"{error} (retried for {patience_s:g} s)")
        await asyncio.sleep(min(left, max(BACKOFF_S, outcome.retry_after_s or 0)))


async def identify(
    service: Service,
    pictures: Sequence[Picture],
    query: str,
    patience_s: float,
    stop: asyncio.Event,
) -> Model:
    """The model that answers. The answer itself is discarded: it is the warm-up."""
    retried = RETRIED - {UNREACHABLE}  # most likely a mistyped URL
    reason = ""
    with closing(Connection(service)) as connection:
        for picture in pictures:
            result = await answer(connection, service, picture, query, patience_s, stop, retried)
            if isinstance(result, Answer):
                return result.model
            reason = result.reason
    raise CommandError(f"{service.url} rejected every picture, the last one: {reason}")


async def model_labels(service: Service) -> list[str] | None:
    """The model's labels from `GET /model`; None for a service that does not report them."""
    with closing(Connection(service)) as connection:
        try:
            response = await connection.exchange(service.request("GET /model"))
        except (Unreachable, Broken, TimeoutError) as error:
            raise CommandError(f"{service.url}/model: {error or 'timed out'}") from error
    if response.status != 200:
        return None
    try:
        labels = json.loads(response.body)["labels"]
        return [str(label) for label in labels] or None
    except (ValueError, KeyError, TypeError):
        return None
