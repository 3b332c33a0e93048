"""Requests joined as TensorFlow Serving joins them, and failing together as they fail there."""

import threading
import time
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.model_server.batching.batcher import Batcher
from service.model_server.batching.parameters import Parameters

LONG = 30_000_000  # microseconds: only a full batch runs


class Doubling:
    """A run that doubles `x` and answers how many rows it had; `gate` holds it back."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.timeouts: list[int] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, feeds: dict[Any, Any], fetches: list[Any], timeout_ms: int) -> list[Any]:
        self.entered.set()
        self.gate.wait(20)
        x = feeds["x"]
        self.batches.append(x.tolist())
        self.timeouts.append(timeout_ms)
        if -1 in x:
            raise tf.errors.InvalidArgumentError(None, None, "minus one is damaged")
        every = {"y": x * 2, "rows": np.full(len(x), len(x)), "scalar": np.int32(7), "odd": x[1:]}
        return [every[name] for name in fetches]


def ask(
    batcher: Batcher,
    run: Any,
    *values: float,
    fetches: tuple[str, ...] = ("y",),
    timeout_ms: int = 20_000,
    **more: Any,
) -> Future[list[Any]]:
    """The answer, from a thread of its own."""
    answer: Future[list[Any]] = Future()

    def wait() -> None:
        try:
            feeds = {"x": np.array(values, np.float32), **more}
            answer.set_result(batcher.run(run, feeds, list(fetches), timeout_ms))
        except tf.errors.OpError as error:
            answer.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    return answer


def failure(answer: Future[list[Any]]) -> tuple[type[BaseException], str]:
    error = answer.exception(20)
    assert isinstance(error, tf.errors.OpError)
    return type(error), error.message


def waiting(batcher: Batcher, rows: int) -> None:
    """Until so many rows are in the queues."""
    deadline = time.monotonic() + 20
    while rows != sum(t.rows for q in batcher._queues.values() for b in q for t in b):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_full_batch_runs_at_once_and_each_gets_its_own_rows() -> None:
    run = Doubling()
    batcher = Batcher(Parameters(max_batch_size=4, batch_timeout_micros=LONG))
    one, two = ask(batcher, run, 1), ask(batcher, run, 2, 3)
    waiting(batcher, 3)
    assert not run.batches
    last = ask(batcher, run, 4)
    assert [a.result(20)[0].tolist() for a in (one, two, last)] == [[2], [4, 6], [8]]
    assert sorted(run.batches[0]) == [1, 2, 3, 4]
    assert len(run.batches) == 1


def test_what_is_not_full_runs_after_the_timeout() -> None:
    run = Doubling()
    batcher = Batcher(Parameters(max_batch_size=4, batch_timeout_micros=200_000))
    started = time.monotonic()
    assert ask(batcher, run, 1).result(20)[0].tolist() == [2]
    assert time.monotonic() - started >= 0.2


def test_an_open_batch_is_watched_while_another_runs() -> None:
    slow, quick = Doubling(), Doubling()
    slow.gate.clear()
    batcher = Batcher(Parameters(batch_timeout_micros=100_000, num_batch_threads=2))
    held = ask(batcher, slow, 1)
    assert ask(batcher, quick, 2).result(10)[0].tolist() == [4]
    assert not held.done()
    slow.gate.set()
    assert held.result(20)[0].tolist() == [2]


def test_a_failure_is_everybodys() -> None:
    run = Doubling()
    batcher = Batcher(Parameters(max_batch_size=3, batch_timeout_micros=LONG))
    answers = [ask(batcher, run, value) for value in (1, -1, 2)]
    expected = (tf.errors.InvalidArgumentError, "minus one is damaged")
    assert [failure(answer) for answer in answers] == [expected] * 3


def test_only_the_same_inputs_and_outputs_of_the_same_servable_are_joined() -> None:
    first, second = Doubling(), Doubling()
    batcher = Batcher(Parameters(max_batch_size=2, batch_timeout_micros=100_000))
    answers = [
        ask(batcher, first, 1, fetches=("y", "rows")),
        ask(batcher, first, 2, fetches=("rows", "y")),
        ask(batcher, first, 3, fetches=("y",)),
        ask(batcher, second, 4, fetches=("y",)),
        ask(batcher, second, 5, z=np.zeros(1)),
    ]
    found = [[array.tolist() for array in answer.result(20)] for answer in answers]
    assert found == [[[2], [2]], [[2], [4]], [[6]], [[8]], [[10]]]
    assert sorted(map(sorted, first.batches)) == [[1, 2], [3]]
    assert sorted(second.batches) == [[4], [5]]


def test_a_batch_is_padded_to_an_allowed_size() -> None:
    run = Doubling()
    parameters = Parameters(max_batch_size=8, allowed_batch_sizes=(1, 4, 8))
    batcher = Batcher(parameters)
    answer = ask(batcher, run, 1, 2, 3, fetches=("y", "rows")).result(20)
    assert [array.tolist() for array in answer] == [[2, 4, 6], [4, 4, 4]]
    assert run.batches == [[1, 2, 3, 1]]


def test_a_full_queue_says_so_at_once() -> None:
    run = Doubling()
    run.gate.clear()
    parameters = Parameters(max_batch_size=1, max_enqueued_batches=2, num_batch_threads=1)
    batcher = Batcher(parameters)
    answers = [ask(batcher, run, 1)]
    assert run.entered.wait(20)
    for value in (2, 3):
        answers.append(ask(batcher, run, value))
        waiting(batcher, value - 1)
    assert failure(ask(batcher, run, 4)) == (
        tf.errors.UnavailableError,
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2",
    )
    run.gate.set()
    assert [answer.result(20)[0].tolist() for answer in answers] == [[2], [4], [6]]


def test_what_waited_too_long_is_not_run() -> None:
    run = Doubling()
    batcher = Batcher(Parameters(max_batch_size=9, batch_timeout_micros=200_000))
    late, later = ask(batcher, run, 1, timeout_ms=50), ask(batcher, run, 2, timeout_ms=20)
    text = "Run() timeout exceeded while waiting in batching queue"
    assert failure(late) == failure(later) == (tf.errors.ResourceExhaustedError, text)
    assert not run.batches


def test_the_latest_deadline_is_the_batchs() -> None:
    run = Doubling()
    batcher = Batcher(Parameters(max_batch_size=2, batch_timeout_micros=LONG))
    for timeouts, low, high in (((100, 20_000), 101, 20_000), ((100, 0), 0, 0)):
        for answer in [ask(batcher, run, 1, timeout_ms=timeout) for timeout in timeouts]:
            answer.result(20)
        assert low <= run.timeouts[-1] <= high


@pytest.mark.parametrize(
    ("asked", "kind", "text"),
    [
        ({"fetches": ("scalar",)}, tf.errors.FailedPreconditionError, "has 0 dimensions"),
        ({"fetches": ("odd",)}, tf.errors.FailedPreconditionError, "does not equal the sum"),
        ({"z": np.float32(1)}, tf.errors.InvalidArgumentError, "at least one dimension"),
        ({"z": np.zeros(3)}, tf.errors.InvalidArgumentError, "equal 0th-dimension size"),
    ],
)
def test_what_cannot_be_joined_or_split(asked: dict[str, Any], kind: Any, text: str) -> None:
    found, message = failure(ask(Batcher(Parameters()), Doubling(), 1, **asked))
    assert found is kind
    assert text in message


@pytest.mark.parametrize(
    ("other", "kind", "text"),
    [
        (np.zeros((1, 2)), tf.errors.FailedPreconditionError, "different shapes"),
        (np.zeros((1, 3), np.int32), tf.errors.InternalError, "different data types"),
    ],
)
def test_neighbours_that_do_not_fit_fail_together(other: Any, kind: Any, text: str) -> None:
    batcher = Batcher(Parameters(max_batch_size=2, batch_timeout_micros=LONG))
    run = Doubling()
    answers = [ask(batcher, run, 1, z=z) for z in (np.zeros((1, 3)), other)]
    for answer in answers:
        found, message = failure(answer)
        assert found is kind
        assert text in message


def test_more_rows_than_a_batch_takes() -> None:
    assert failure(ask(Batcher(Parameters(max_batch_size=2)), Doubling(), 1, 2, 3)) == (
        tf.errors.InvalidArgumentError,
        "Task size 3 is larger than maximum input batch size 2",
    )
