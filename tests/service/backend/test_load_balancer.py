"""The choice among targets, and the budget of retries, by value."""

from collections import Counter

import pytest

from service.backend.load_balancer import Backends, RetryBudget, Target
from service.core import logs


def backends(*outstanding: int, ejected: str = "") -> Backends:
    return Backends(
        [
            Target(name, None, None, outstanding=calls, ejected=name in ejected)
            for name, calls in zip("abcd", outstanding, strict=False)
        ]
    )


def chosen(of: Backends, times: int) -> Counter[str]:
    return Counter(of.choose().name for _ in range(times))


def test_equals_are_chosen_round_robin() -> None:
    assert chosen(backends(0, 0, 0), 9) == {"a": 3, "b": 3, "c": 3}
    assert chosen(backends(5, 2, 2), 8)["a"] == 0


def test_the_least_loaded_is_chosen() -> None:
    assert chosen(backends(2, 1, 3), 5) == {"b": 5}


def test_ejected_targets_are_skipped_while_there_are_others() -> None:
    assert chosen(backends(0, 9, 0, ejected="ac"), 5) == {"b": 5}
    assert chosen(backends(3, 9, 1, ejected="abc"), 5) == {"c": 5}
    assert chosen(backends(7, ejected="a"), 2) == {"a": 2}


def test_the_share_of_an_ejected_target_is_spread_over_all_others() -> None:
    of = backends(0, 0, 0, 0, ejected="b")
    assert chosen(of, 30) == {"a": 10, "c": 10, "d": 10}


def test_a_retry_goes_to_another_target_if_there_is_one() -> None:
    one = backends(0, 9)
    a, b = one.targets
    assert one.choose(a) is b
    b.ejected = True  # but not where it is known to be useless
    assert one.choose(a) is a
    a.ejected = True
    assert one.choose(a) is b
    assert (alone := backends(0)).choose(alone.targets[0]) is alone.targets[0]


def test_each_change_is_logged_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert logs.flush()  # the lines of other tests
    capfd.readouterr()
    (target,) = backends(0).targets
    target.admit(3, "version 3 answers")
    target.admit(3, "version 3 answers")
    assert (target.ejected, target.version) == (False, 3)
    target.eject("It cannot be reached.", "refused")
    target.eject("It cannot be reached.", "refused")
    assert (target.ejected, target.version) == (True, None)
    target.admit(4, "version 4 answers")
    assert logs.flush()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 3
    assert '"backend":"a","status":"It cannot be reached.","cause":"refused"' in lines[1]


def test_retries_are_a_burst_and_a_tenth_of_the_calls() -> None:
    budget = RetryBudget(burst=2)
    assert [budget.retry() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.call()
    assert not budget.retry()
    budget.call()
    assert [budget.retry() for _ in range(2)] == [True, False]
    for _ in range(1000):
        budget.call()
    assert [budget.retry() for _ in range(3)] == [True, True, False]
