"""How long the caller waits, and whether it still does: nobody works for one that has left."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from ..errors import BadParameter

HEADER = "X-Timeout-Ms"
Done = TypeVar("Done")


def asked_s(request: Request) -> float | None:
    """Seconds the caller waits, by its own word. Raises BadParameter where that is no time."""
    value = request.headers.get(HEADER)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 10 and int(value)):
        raise BadParameter(
            f"{HEADER} is {value[:40]!r}; it is how long you wait, in whole milliseconds from 1 on."
        )
    return int(value) / 1000


def deadline(request: Request, started: float, arrived: float, limit_s: float) -> float:
    """The `time.perf_counter()` after which nobody waits any more.

    `limit_s` counts from when the picture has `arrived`, as its sender's line is not the service's
    to answer for; what the caller asks for counts from when its request `started`.
    """
    asked = asked_s(request)
    latest = arrived + limit_s
    return latest if asked is None else min(latest, started + asked)


async def while_there(request: Request, work: Awaitable[Done]) -> Done:
    """`work`, cancelled as soon as the client goes away; then it raises ClientDisconnect.

    The body must have been read: what else the connection can bring then is its end.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    leave = partial(_cancel, task)
    gone.add_done_callback(leave)
    try:
        return await task
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled():
            raise ClientDisconnect from None
        raise
    finally:
        gone.remove_done_callback(leave)
        gone.cancel()
        # An error that leaves here holds this frame; what holds the error would make it, and the
        # picture, garbage that waits for a collection.
        del task, leave


def _cancel(task: asyncio.Future[Done], _: object) -> None:
    task.cancel()
