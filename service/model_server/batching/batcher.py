"""--enable_batching: queues in which requests wait briefly to be run together.

As tensorflow `core/kernels/batching_util/shared_batch_scheduler.h`.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

import tensorflow as tf

from .joining import Run, Task, count_rows, process, size
from .parameters import Parameters


class Batcher:
    """Queues by what can be joined, and the threads that run their batches, until the process ends.

    A queue's last batch is open: it runs when it is full or its oldest task has waited enough.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._wait_s = parameters.batch_timeout_micros / 1e6
        self._queues: dict[Any, deque[list[Task]]] = {}  # none is empty, nor is a batch
        self._changed = threading.Condition()
        for number in range(parameters.num_batch_threads):
            threading.Thread(target=self._work, name=f"batch_{number}", daemon=True).start()

    def run(self, run: Run, feeds: dict[Any, Any], fetches: list[Any], timeout_ms: int) -> Any:
        """What `run` answers, called once for several callers of this; raises what it raises."""
        deadline = time.monotonic() + timeout_ms / 1000 if timeout_ms else float("inf")
        return self._enqueued(Task(run, feeds, fetches, count_rows(feeds), deadline)).result()

    def _enqueued(self, task: Task) -> Future[list[Any]]:
        limit = self._parameters.max_batch_size
        if task.rows > limit:
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"Task size {task.rows} is larger than maximum input batch size {limit}",
            )
        key = task.run, frozenset(task.feeds), frozenset(task.fetches)
        with self._changed:
            batches = self._queues.get(key) or deque([[]])
            if size(batches[-1]) + task.rows > limit:
                if len(batches) >= self._parameters.max_enqueued_batches:
                    raise tf.errors.UnavailableError(
                        None,
                        None,
                        "The batch scheduling queue to which this task was submitted is full; "
                        f"currently {len(batches)} batches enqueued and max_enqueued_batches is "
                        f"{self._parameters.max_enqueued_batches}",
                    )
                batches.append([])
            batches[-1].append(task)
            self._queues[key] = batches
            self._changed.notify()
        return task.answer

    def _work(self) -> None:
        while True:
            process(self._take(), self._parameters)

    def _take(self) -> list[Task]:
        with self._changed:
            while True:
                now = time.monotonic()
                due_in = [self._due(batches) - now for batches in self._queues.values()]
                for key, wait_s in zip(self._queues, due_in, strict=True):
                    if wait_s <= 0:
                        return self._pop(key)
                self._changed.wait(min(due_in, default=None))

    def _due(self, batches: deque[list[Task]]) -> float:
        full = len(batches) > 1 or size(batches[0]) >= self._parameters.max_batch_size
        return 0 if full else batches[0][0].enqueued + self._wait_s

    def _pop(self, key: Any) -> list[Task]:
        batches = self._queues.pop(key)
        batch = batches.popleft()
        if batches:
            self._queues[key] = batches  # at the end: the others' turn comes first
        if self._queues:
            self._changed.notify()  # this thread no longer watches the others' time
        return batch
