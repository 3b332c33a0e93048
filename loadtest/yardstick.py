"""The machine's own variation: the CPU time of a fixed computation, once a second during a run.

It calls no service. Where it varies as much as the throughput, the machine is at fault: its clock
frequency, or neighbours on a shared one.
"""

import hashlib
import statistics
import threading
import time

INTERVAL_S = 1.0
ROUNDS = 20_000  # about 10 ms: 1 % of a core


class Yardstick:
    """Measures in a thread from `start` to `stop`."""

    def __init__(self) -> None:
        self._samples_ms: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yardstick", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def take_ms(self) -> float | None:
        """The median since the last call, CPU milliseconds; None without a measurement."""
        samples, self._samples_ms = self._samples_ms, []
        return round(statistics.median(samples), 4) if samples else None

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.thread_time()
            hashlib.pbkdf2_hmac("sha256", b"yardstick", b"", ROUNDS)  # without Python's lock
            self._samples_ms.append(1e3 * (time.thread_time() - began))
            self._over.wait(INTERVAL_S)
