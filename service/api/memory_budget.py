"""How many bytes of bodies are held at the same time, by all requests together.

A body is in memory before its picture has a place at the backend, and a connection is cheap:
without this bound two thousand callers would be allowed forty gigabytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Full


class Buffer:
    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """One request's, which gives back what it took."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.taken


class Share:
    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self.taken = 0

    def take(self, count: int) -> None:
        """For bytes that have come. Raises Full where they are more than may be held."""
        buffer = self._buffer
        if buffer.held + count > buffer.limit:
            raise Full(
                f"{buffer.held} bytes of bodies are held and at most {buffer.limit} may be; try"
                " again shortly."
            )
        buffer.held += count
        self.taken += count
