"""Whether the service is there: callers wait while it is away, and its returns are counted."""

import asyncio
import sys
import time

from .connection import Address, Broken, Connection, Unreachable

LOOK_EVERY_S = 0.2
LOOK_WITHIN_S = 5


class Availability:
    """`restarts`: how often it was away, as `GET /readyz` says, and came back.

    Away is a service that cannot be reached or says 5xx there. One that has no /readyz, and
    answers 404, is there. `patience_s`: how long it may be away; `stop` ends the waiting.
    """

    def __init__(self, address: Address, stop: asyncio.Event, patience_s: float) -> None:
        self.restarts = 0
        self.gave_up = False
        self._address = address
        self._stop = stop
        self._patience_s = patience_s
        self._one = asyncio.Lock()

    async def ready(self) -> bool:
        connection = Connection(self._address)
        try:
            status, _ = await connection.exchange(self._address.readyz(), LOOK_WITHIN_S)
        except (Unreachable, Broken, TimeoutError):
            return False
        finally:
            connection.close()
        return status < 500

    async def after_failure(self) -> None:
        """Returns when the service is there, or is waited for no longer."""
        async with self._one:
            if self.gave_up or await self.ready():
                return
            since = time.monotonic()
            print("the service is away, and is waited for", file=sys.stderr)
            while not self._stop.is_set():
                away_s = time.monotonic() - since
                if away_s > self._patience_s:
                    self.gave_up = True
                    return
                await asyncio.sleep(LOOK_EVERY_S)
                if await self.ready():
                    self.restarts += 1
                    away_s = time.monotonic() - since
                    print(f"the service is back after {away_s:.1f} s", file=sys.stderr)
                    return
