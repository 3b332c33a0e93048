"""Closed-loop load with one prepared request, whose every response must be the same bytes.

A closed loop suits CPU per request. Its latencies only compare servers with each other at the same
concurrency; what callers experience is measured with an open loop.
"""

import asyncio
import time
from contextlib import closing
from dataclasses import dataclass, field

from ..client import Broken, Connection, Service, Unreachable

TIMEOUT_S = 10


class BadResponse(Exception):
    """Not 200, not what the same request returned before, or none at all."""


@dataclass
class Load:
    """What one window of load measured. All responses have the same `body`."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    body: bytes = b""

    @property
    def answered(self) -> int:
        return len(self.latencies_s)


async def drive(service: Service, request: bytes, connections: int, seconds: float) -> Load:
    """Load for `seconds`, and until pending requests are answered.

    Raises BadResponse, or TimeoutError if a response takes longer than TIMEOUT_S.
    """
    load = Load()
    started = time.perf_counter()

    async def caller() -> None:
        with closing(Connection(service)) as connection:
            while True:
                sent_at = time.perf_counter()
                try:
                    status, body, _ = await connection.exchange(request, None)
                except (Unreachable, Broken) as error:
                    raise BadResponse(str(error)) from error
                now = time.perf_counter()
                load.body = load.body or body
                if status != 200 or body != load.body:
                    raise BadResponse(f"{status} {body[:500].decode('utf-8', 'replace')}")
                load.latencies_s.append(now - sent_at)
                if now >= started + seconds:
                    return

    tasks = [asyncio.create_task(caller()) for _ in range(connections)]
    try:
        async with asyncio.timeout(seconds + TIMEOUT_S):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    load.seconds = time.perf_counter() - started
    return load
