"""Who is quarantined, for how many pictures, and how fast damaged ones are answered."""

import pytest

from service.detection.quarantine import ANSWERS_PER_S, MOST_DELAY_S, MOST_SENDERS, Quarantine


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_damaged_picture_costs_its_sender_the_next_seven() -> None:
    quarantine = Quarantine()
    assert "anna" not in quarantine
    assert quarantine.damaged("anna") == 0  # the first is answered at once
    for _ in range(6):
        quarantine.undamaged("anna")
        assert "anna" in quarantine
    quarantine.undamaged("anna")
    assert "anna" not in quarantine
    assert "bert" not in quarantine


def test_a_sender_of_many_damaged_pictures_stays_longer() -> None:
    quarantine = Quarantine()
    for _ in range(50):
        quarantine.damaged("anna")
    for _ in range(27):
        quarantine.undamaged("anna")
        assert "anna" in quarantine
    for _ in range(5):
        quarantine.undamaged("anna")
    assert "anna" not in quarantine


def test_the_number_of_senders_is_limited_and_the_oldest_go() -> None:
    quarantine = Quarantine()
    for number in range(MOST_SENDERS + 3):
        quarantine.damaged(str(number))
    assert "2" not in quarantine
    assert "3" in quarantine
    assert str(MOST_SENDERS + 2) in quarantine


def test_damaged_pictures_in_a_loop_are_answered_at_a_limited_rate() -> None:
    clock = Clock()
    quarantine = Quarantine(clock)
    quarantine.damaged("anna")
    for _ in range(100):  # each waits for its answer
        clock.now += quarantine.damaged("anna")
    assert clock.now == pytest.approx(100 / ANSWERS_PER_S)
    delays = [quarantine.damaged("anna") for _ in range(1000)]  # none waits
    assert max(delays) == pytest.approx(MOST_DELAY_S)
