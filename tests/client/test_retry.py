"""When a call is repeated."""

import pytest
from detect_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidPicture,
    Unavailable,
    parse_retry_after,
)
from detect_client.retry import LONGEST_PAUSE_S, Attempts


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_what_may_pass_is_repeated() -> None:
    attempts = Attempts(10, Clock())
    with pytest.raises(InvalidPicture):
        attempts.pause_s(InvalidPicture("no"))
    assert 2 <= attempts.pause_s(Unavailable("full", retry_after_s=2)) <= 2.5


def test_without_a_suggestion_pauses_grow_to_a_limit() -> None:
    attempts = Attempts(1000, Clock())
    pauses = [attempts.pause_s(ConnectionFailed("broken")) for _ in range(10)]
    for number, pause in enumerate(pauses):
        expected = min(0.1 * 2**number, LONGEST_PAUSE_S)
        assert expected <= pause <= 1.25 * expected


def test_no_pause_ends_after_the_deadline() -> None:
    clock = Clock()
    attempts = Attempts(10, clock)
    clock.now += 9
    assert attempts.remaining_s() == 1
    with pytest.raises(Unavailable):
        attempts.pause_s(Unavailable("full", retry_after_s=1))
    clock.now += 1
    with pytest.raises(DeadlineExceeded, match="10 seconds"):
        attempts.remaining_s()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0", 0.0), (None, None), ("", None), ("-1", None), ("nan", None), ("inf", None)],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds
