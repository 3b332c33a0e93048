"""Per-request deadlines, and cancellation on client disconnect."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from ...core.errors import DISCONNECT, BadParameter

HEADER = "X-Timeout-Ms"
T = TypeVar("T")


def parse_timeout(request: Request) -> float | None:
    """The client's X-Timeout-Ms in seconds, None without it. Raises BadParameter."""
    values = request.headers.getlist(HEADER)
    if not values:
        return None
    value = ", ".join(values)
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value)):
        raise BadParameter(
            f"{HEADER} is {value[:40]!r}; send whole milliseconds, from 1 to 999999999."
        )
    return int(value) / 1000


def deadline(request: Request, started: float, uploaded: float, limit_s: float) -> float:
    """The `time.perf_counter()` at which the request times out.

    `limit_s` runs from the end of the upload, since the service is not responsible for a slow
    client; the client's own timeout runs from the start of the request.
    """
    timeout_s = parse_timeout(request)
    latest = uploaded + limit_s
    return latest if timeout_s is None else min(latest, started + timeout_s)


async def cancel_on_disconnect(request: Request, work: Awaitable[T]) -> T:
    """Awaits `work`; when the client disconnects, cancels it and raises ClientDisconnect.

    Call once the body is consumed; only `http.disconnect` can follow.
    """
    task = asyncio.current_task()
    assert task is not None
    # A future is cheaper than a task that waits for the message, but other servers have none.
    disconnect = request.scope["state"].get(DISCONNECT) or asyncio.ensure_future(request.receive())
    cancel = partial(_cancel, task)
    disconnect.add_done_callback(cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if disconnect.done() and not disconnect.cancelled():
            task.uncancel()
            raise ClientDisconnect from None
        raise
    finally:
        disconnect.remove_done_callback(cancel)
        disconnect.cancel()
        # An exception raised here references this frame; if the frame referenced the work in turn,
        # the picture would stay in memory until a garbage collection.
        del task, cancel, work


def _cancel(task: asyncio.Task[Any], _: object) -> None:
    task.cancel()
