"""The thread that writes log lines to a file descriptor, so that logging never blocks or raises."""

import os
import queue
import threading
import time

MAX_QUEUED = 4096  # lines
COLLECT_S = 0.02  # lines that arrive within this time are written together


class LogWriter:
    """A bounded queue of lines. A line is dropped and counted when the queue is full, because a
    reader stalls, or when it cannot be written, because a disk is full or a pipe is closed.

    `write` may be called from any thread, signal handler or finalizer.
    """

    def __init__(self, descriptor: int) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # a finalizer may interrupt its own thread here
        self._torn = False  # the last byte written was within a line

    def write(self, line: bytes) -> None:
        """`line` ends with a newline."""
        if self._lines.qsize() < MAX_QUEUED:
            self._lines.put(line)
        else:
            self._drop(1)
        if self._thread is None:
            self._start()

    def flush(self, within_s: float = 1.0) -> bool:
        """Wait until every line so far is written or dropped; False if that takes longer."""
        if self._thread is None:
            return True
        self._lines.put(done := threading.Event())
        return done.wait(within_s)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            items = [self._lines.get()]
            time.sleep(COLLECT_S)  # a wake-up for every line would cost more than the line
            while not self._lines.empty():
                items.append(self._lines.get())
            self._write([item for item in items if isinstance(item, bytes)])
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _write(self, lines: list[bytes]) -> None:
        rest = b"\n" * self._torn + b"".join(lines)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another process made the descriptor non-blocking
                time.sleep(COLLECT_S)
            except OSError:
                break
        unwritten = len(rest)
        while lines and unwritten > 0:
            unwritten -= len(lines.pop())
            self._drop(1)
        self._torn = unwritten != 0

    def _drop(self, lines: int) -> None:
        with self._lock:
            self.dropped += lines
