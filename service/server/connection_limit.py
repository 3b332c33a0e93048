"""How many connections may be open, and which one gives way when there are too many."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection

PROBE_CONNECTIONS = 64  # accepted beyond the limit, for probes only


class ConnectionLimit:
    """Shared by all connections.

    `expendable`: those that send no request (the head is not complete) or have their last response,
    oldest first. A client that opens connections and is silent cannot keep others out.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.expendable: dict[Connection, None] = {}

    def admit(self, new: "Connection") -> None:
        """Makes room for `new`, or refuses it; beyond the limit, `new` may only probe."""
        oldest = next(iter(self.expendable), None)
        if oldest is not None and self._excess(new) > (PROBE_CONNECTIONS if oldest.surplus else 0):
            oldest.give_way()
        new.surplus = self._excess(new) > 0
        self.expendable[new] = None
        if self._excess(new) > PROBE_CONNECTIONS:
            new.give_way()

    def _excess(self, new: "Connection") -> int:
        return len(new.connections) - self.limit
