"""Senders of damaged pictures: theirs are decoded by the gateway before a model server sees them.

A server that joins pictures into batches fails a batch as a whole, so that one damaged picture
costs up to seven others a second call. Decoding every picture first would triple the gateway's
CPU; most senders never send a damaged one.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

# The share of damaged pictures in a sender's last ones, each weighing a tenth: after a damaged one
# the next seven are decoded first, and of a sender with 1 % damaged pictures 7 % are.
WEIGHT = 0.1
SHARE = 0.05
MOST_SENDERS = 10_000
# Beyond this rate, answers to quarantined senders' damaged pictures wait for their turn, so that
# clients that repeat them in a loop take a few percent of a core from the others.
ANSWERS_PER_S = 20
MOST_DELAY_S = 2.0


class Quarantine:
    """Senders are opaque strings; a sender that is not known to send damaged pictures takes no
    memory. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shares: OrderedDict[str, float] = OrderedDict()
        self._next_answer = clock()

    def __contains__(self, sender: str) -> bool:
        return sender in self._shares

    def damaged(self, sender: str) -> float:
        """Records a damaged picture; returns the seconds its answer should wait."""
        known = sender in self._shares
        self._shares[sender] = self._renewed(sender, 1.0)
        self._shares.move_to_end(sender)
        if len(self._shares) > MOST_SENDERS:
            self._shares.popitem(last=False)
        return self._delay_s() if known else 0.0

    def undamaged(self, sender: str) -> None:
        """Records a picture that decodes; the last one that is needed ends the quarantine."""
        if sender in self._shares:
            self._shares[sender] = share = self._renewed(sender, 0.0)
            if share < SHARE:
                del self._shares[sender]

    def _renewed(self, sender: str, damaged: float) -> float:
        share = self._shares.get(sender, 0.0)
        return share + WEIGHT * (damaged - share)

    def _delay_s(self) -> float:
        now = self._clock()
        self._next_answer = min(max(self._next_answer, now) + 1 / ANSWERS_PER_S, now + MOST_DELAY_S)
        return self._next_answer - now
