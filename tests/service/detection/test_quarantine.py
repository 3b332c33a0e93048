"""Who is quarantined, for how many pictures, and how fast damaged ones are answered."""

import pytest

from service.detection.quarantine import (
    ANSWERS_PER_S,
    MOST_CONNECTIONS,
    MOST_DELAY_S,
    MOST_SENDERS,
    TRUSTED,
    Quarantine,
    Sender,
)

ANNA = Sender("anna")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_damaged_picture_costs_its_sender_the_next_seven() -> None:
    quarantine = Quarantine()
    assert ANNA not in quarantine
    assert quarantine.damaged(ANNA) == 0  # the first is answered at once
    for _ in range(6):
        quarantine.undamaged(ANNA)
        assert ANNA in quarantine
    quarantine.undamaged(ANNA)
    assert ANNA not in quarantine
    assert Sender("bert") not in quarantine


def test_a_sender_of_many_damaged_pictures_stays_longer() -> None:
    quarantine = Quarantine()
    for _ in range(50):
        quarantine.damaged(ANNA)
    for _ in range(27):
        quarantine.undamaged(ANNA)
        assert ANNA in quarantine
    for _ in range(5):
        quarantine.undamaged(ANNA)
    assert ANNA not in quarantine


def test_the_number_of_senders_is_limited_and_the_oldest_go() -> None:
    quarantine = Quarantine()
    for number in range(MOST_SENDERS + 3):
        quarantine.damaged(Sender(str(number)))
    assert Sender("2") not in quarantine
    assert Sender("3") in quarantine
    assert Sender(str(MOST_SENDERS + 2)) in quarantine


def test_damaged_pictures_in_a_loop_are_answered_at_a_limited_rate() -> None:
    clock = Clock()
    quarantine = Quarantine(clock)
    quarantine.damaged(ANNA)
    for _ in range(100):  # each waits for its answer
        clock.now += quarantine.damaged(ANNA)
    assert clock.now == pytest.approx(100 / ANSWERS_PER_S)
    delays = [quarantine.damaged(ANNA) for _ in range(1000)]  # none waits
    assert max(delays) == pytest.approx(MOST_DELAY_S)


def test_a_connection_with_undamaged_pictures_leaves_its_addresss_quarantine() -> None:
    quarantine = Quarantine()
    good, bad = Sender("office", "one"), Sender("office", "two")
    for _ in range(50):
        quarantine.damaged(bad)
    for _ in range(TRUSTED):
        assert good in quarantine
        quarantine.undamaged(good)
    assert good not in quarantine
    assert bad in quarantine
    assert Sender("office", "three") in quarantine
    quarantine.damaged(good)
    assert good in quarantine


def test_the_number_of_trusted_connections_is_limited() -> None:
    quarantine = Quarantine()
    first = Sender("office", "first")
    for _ in range(50):
        quarantine.damaged(Sender("office"))
    for _ in range(TRUSTED):
        quarantine.undamaged(first)
    assert first not in quarantine
    for number in range(MOST_CONNECTIONS - 1):
        quarantine.damaged(Sender("office", str(number)))
    assert first not in quarantine
    quarantine.damaged(Sender("office", "one more"))
    assert first in quarantine
