"""The first request: is it the service, and which model answers? It is the warm-up as well."""

from collections.abc import Iterable
from contextlib import closing

from .caller import REFUSED, Answer, Model
from .connection import Address, Connection
from .replies import STRANGE, UNREACHABLE, ask
from .stopped import Stopped


async def first_answer(
    address: Address, url: str, requests: Iterable[tuple[bytes, list[int]]]
) -> Model:
    """Of the first request with a picture that is not refused.

    Stopped, with the service's own words, where there is none or the service fails.
    """
    kind = said = ""
    with closing(Connection(address)) as connection:
        for request, pictures in requests:
            outcome = await ask(connection, request, pictures)
            for reply in outcome.replies:
                if isinstance(reply, Answer):
                    return reply.model
            kind, said = str(outcome.replies[0]), outcome.detail or "no reason given"
            if not (kind.isdigit() and int(kind) in REFUSED):
                break
        else:
            raise Stopped(f"{url} refuses every picture, the last one with {kind}: {said}")
    if kind == UNREACHABLE:
        raise Stopped(f"{url} cannot be reached: {said}; is the service running?")
    if kind == STRANGE:
        raise Stopped(
            f"{url} answers 200, but not with detections ({said}); is it the detection service?"
        )
    if kind.isdigit() and kind < "500":
        raise Stopped(f"{url} answers {kind}: {said}; is it the detection service?")
    raise Stopped(f"{url} gives no detections ({kind}): {said}")
