"""Runs a batch: joins the inputs along dimension 0, splits the outputs.

As tensorflow/serving `batching/batching_session.cc`, in failure too: what fails a batch is the
answer to each of its requests, whosever input it was.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from .parameters import Parameters

# (tensor -> array, tensors, timeout in ms or 0) -> an array for each tensor asked for.
Run = Callable[[dict[Any, Any], list[Any], int], list[Any]]


@dataclass(frozen=True)
class Task:
    run: Run
    feeds: dict[Any, Any]
    fetches: list[Any]
    rows: int
    deadline: float  # time.monotonic()
    enqueued: float = field(default_factory=time.monotonic)
    answer: Future[list[Any]] = field(default_factory=Future)


def size(batch: list[Task]) -> int:
    return sum(task.rows for task in batch)


def count_rows(feeds: dict[Any, Any]) -> int:
    if not feeds:
        text = "Batching Run() must have at least one input tensor"
        raise tf.errors.InvalidArgumentError(None, None, text)
    if any(array.ndim == 0 for array in feeds.values()):
        text = "Batching Run() input tensors must have at least one dimension"
        raise tf.errors.InvalidArgumentError(None, None, text)
    rows = {len(array) for array in feeds.values()}
    if len(rows) > 1:
        text = "Batching Run() input tensors must have equal 0th-dimension size"
        raise tf.errors.InvalidArgumentError(None, None, text)
    return rows.pop()


def process(batch: list[Task], parameters: Parameters) -> None:
    try:
        answers = _answers(batch, parameters)
    except Exception as error:  # whatever it is, it is the answer to each, and no thread's end
        if isinstance(error, tf.errors.OpError):
            # With its traceback it would keep the whole batch, and the batch keeps it.
            error = error.with_traceback(None)
        for task in batch:
            task.answer.set_exception(error)
        return
    for task, answer in zip(batch, answers, strict=True):
        task.answer.set_result(answer)


def _answers(batch: list[Task], parameters: Parameters) -> list[list[Any]]:
    now, deadline = time.monotonic(), max(task.deadline for task in batch)
    if deadline <= now:
        text = "Run() timeout exceeded while waiting in batching queue"
        raise tf.errors.ResourceExhaustedError(None, None, text)
    timeout_ms = 0 if deadline == float("inf") else max(int((deadline - now) * 1000), 1)
    rows = size(batch)
    padding = parameters.padded(rows) - rows
    feeds = {tensor: _joined(batch, tensor, padding) for tensor in batch[0].feeds}
    fetches = list(dict.fromkeys(batch[0].fetches))
    arrays = map(np.asarray, batch[0].run(feeds, fetches, timeout_ms))
    ends = np.cumsum([task.rows for task in batch])
    parts = {
        tensor: _split(array, ends, rows + padding)
        for tensor, array in zip(fetches, arrays, strict=True)
    }
    return [[parts[tensor][i] for tensor in task.fetches] for i, task in enumerate(batch)]


def _joined(batch: list[Task], tensor: Any, padding: int) -> Any:
    arrays = [task.feeds[tensor] for task in batch]
    if len({array.shape[1:] for array in arrays}) > 1:
        raise tf.errors.FailedPreconditionError(
            None,
            None,
            "Tensors from different tasks have different shapes and padding is turned off. Ensure "
            "that all tensors with the same name have equal dimensions starting with the first "
            "dim.",
        )
    if len({array.dtype for array in arrays}) > 1:
        text = "Tensor concat operation failed: the tensors have different data types"
        raise tf.errors.InternalError(None, None, text)
    return np.concatenate([*arrays, *[arrays[-1][:1]] * padding])


def _split(array: Any, ends: Any, rows: int) -> list[Any]:
    if array.ndim == 0:
        text = "Batched output tensor has 0 dimensions"
        raise tf.errors.FailedPreconditionError(None, None, text)
    if len(array) != rows:
        text = (
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors"
        )
        raise tf.errors.FailedPreconditionError(None, None, text)
    return np.split(array, ends)
