"""Senders of damaged pictures: theirs are decoded by the gateway before a model server sees them.

A server that joins pictures into batches fails a batch as a whole, so that one damaged picture
costs up to seven others a second call. Decoding every picture first would triple the gateway's
CPU; most senders never send a damaged one.

Callers behind one address share its quarantine, but a connection that has sent some undamaged
pictures and no damaged one leaves it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key")

# The share of damaged pictures in a sender's last ones, each weighing a tenth: after a damaged one
# the next seven are decoded first, and of a sender with 1 % damaged pictures 7 % are.
WEIGHT = 0.1
SHARE = 0.05
TRUSTED = 4  # undamaged pictures on one connection
MOST_SENDERS = 10_000
MOST_CONNECTIONS = 2_000  # a megabyte
# Beyond this rate, answers to quarantined senders' damaged pictures wait for their turn, so that
# clients that repeat them in a loop take a few percent of a core from the others.
ANSWERS_PER_S = 10
MOST_DELAY_S = 2.0


class Sender(NamedTuple):
    """`name`: the key's owner, else the address. `connection`: one of the sender's."""

    name: str
    connection: str = ""


class Quarantine:
    """A sender that is not known to send damaged pictures takes no memory. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shares: OrderedDict[str, float] = OrderedDict()
        self._undamaged: OrderedDict[Sender, float] = OrderedDict()
        self._next_answer = clock()

    def __contains__(self, sender: Sender) -> bool:
        return sender.name in self._shares and self._undamaged.get(sender, 0) < TRUSTED

    def damaged(self, sender: Sender) -> float:
        """Records a damaged picture; returns the seconds its answer should wait."""
        name = sender.name
        known = name in self._shares
        self._shares[name] = self._renewed(name, 1.0)
        _bound(self._shares, name, MOST_SENDERS)
        self._undamaged[sender] = float("-inf")  # never trusted
        _bound(self._undamaged, sender, MOST_CONNECTIONS)
        return self._delay_s() if known else 0.0

    def undamaged(self, sender: Sender) -> None:
        """Records a picture that decodes; the last one that is needed ends the quarantine."""
        name = sender.name
        if name in self._shares:
            self._undamaged[sender] = self._undamaged.get(sender, 0) + 1
            _bound(self._undamaged, sender, MOST_CONNECTIONS)
            self._shares[name] = share = self._renewed(name, 0.0)
            if share < SHARE:
                del self._shares[name]

    def _renewed(self, name: str, damaged: float) -> float:
        share = self._shares.get(name, 0.0)
        return share + WEIGHT * (damaged - share)

    def _delay_s(self) -> float:
        now = self._clock()
        self._next_answer = min(max(self._next_answer, now) + 1 / ANSWERS_PER_S, now + MOST_DELAY_S)
        return self._next_answer - now


def _bound(entries: OrderedDict[Key, Any], newest: Key, most: int) -> None:
    """Forgets the oldest entry where there are too many."""
    entries.move_to_end(newest)
    if len(entries) > most:
        entries.popitem(last=False)
