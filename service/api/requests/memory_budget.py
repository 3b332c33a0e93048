"""Memory budget for uploads: the bytes that all requests together may hold at the same time.

A body is in memory before its picture has a slot at the backend, and connections are cheap: without
this limit two thousand clients could make the gateway hold 40 GB.
"""

from typing import Self

from ...core.errors import Full

# What one uploaded byte costs at most: the body, the gRPC request built from it, gRPC's own copy.
COPIES = 3


class MemoryBudget:
    """`held` and `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit


class Reservation:
    """One request's share of the budget, released at the end of a `with` block."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resize(0)

    def reserve(self, count: int) -> None:
        """Adds `count` bytes. Raises Full where the budget does not have them."""
        budget = self._budget
        if budget.held + count > budget.limit:
            raise Full(
                f"Uploads being served hold {budget.held} of {budget.limit} bytes of memory; try"
                " again after Retry-After."
            )
        budget.held += count
        self.held += count

    def resize(self, count: int) -> None:
        """Holds `count` bytes from now on, no longer what it held before."""
        if count > self.held:
            self.reserve(count - self.held)
        else:
            self._budget.held -= self.held - count
            self.held = count
