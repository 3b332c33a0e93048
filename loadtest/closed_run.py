"""A run with a closed loop, from the first request to the file: throughput's and soak's."""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from .availability import Availability
from .closed_loop import ClosedLoop
from .connection import address
from .first_answer import first_answer
from .host import HostReadings
from .interrupts import interruptible
from .picture_folder import Pictures
from .replies import Outcome
from .run_file import RunFile
from .stopped import Stopped
from .windows import Windows, summary, variation_percent


class ClosedRun:
    """`seen` is called with every outcome, `told` with every whole window."""

    def __init__(
        self,
        options: argparse.Namespace,
        file: RunFile,
        pictures: Pictures,
        seen: Callable[[Outcome], None],
        told: Callable[[dict[str, Any]], None] = lambda window: None,
        query: str = "",
    ) -> None:
        self._options = options
        self._file = file
        self._pictures = pictures
        self._seen = seen
        self._told = told
        self._query = query
        self.windows: Windows
        self.summary: dict[str, Any] = {}
        self.ended = "interrupted"

    async def run(
        self, batches: Iterator[list[int]], callers: int, seconds: float, patience_s: float
    ) -> None:
        """Stopped where there is no service, it went away for longer than `patience_s`, or the file
        cannot be written."""
        stop = asyncio.Event()
        where = address(self._options.url)
        availability = Availability(where, stop, patience_s)
        with interruptible(stop):
            loop = ClosedLoop(where, self._pictures, batches, availability, self._add, self._query)
            size, count = self._options.batch, len(self._pictures.paths)
            first = map(loop.request, self._pictures.batches(self._options.seed, size, count))
            self.model = await first_answer(where, self._options.url, first)
            self._file.start(self.model, self._pictures)
            self.windows = Windows(HostReadings())
            over = asyncio.Event()
            ticker = asyncio.create_task(self._tick(availability, over))
            begun, stopped = time.perf_counter(), None
            try:
                await loop.run(callers, stop, seconds)
            except asyncio.CancelledError:
                stop.set()  # told twice; what was under way has its outcome
            except Stopped as error:
                stopped = error
            finally:
                took_s = time.perf_counter() - begun
                over.set()
                await ticker
        self.windows.read_host(self.windows.turn())
        if availability.gave_up:
            stopped = Stopped(f"{self._options.url} went away for more than {patience_s:g} s")
        self.ended = "interrupted" if stop.is_set() or stopped else "complete"
        self.summary = self._summary(took_s, availability.restarts)
        try:
            self.write()
        except Stopped:
            print(json.dumps(self.summary))  # hours of work: here at least
            raise
        if stopped:
            raise Stopped(f"{stopped}; what was measured before is in {self._file.path}")

    def write(self, accuracy: dict[str, Any] | None = None) -> None:
        windows = self.windows
        self._file.write(
            self.ended, windows.closed, windows.overall.histogram, self.summary, accuracy=accuracy
        )

    def _add(self, outcome: Outcome) -> None:
        self.windows.add(outcome)
        self._seen(outcome)

    async def _tick(self, availability: Availability, over: asyncio.Event) -> None:
        begun, length = self.windows.overall.started, self._options.window
        while True:
            left = length - (time.perf_counter() - begun) % length
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), left)
                return
            window = self.windows.turn()
            self.summary = self._summary(time.perf_counter() - begun, availability.restarts)
            await asyncio.to_thread(self.windows.read_host, window)
            self._told(window)
            try:
                await asyncio.to_thread(self.write)
            except Stopped as error:  # hours of work: there may be room again at the next one
                print(f"warning: {error}; it is tried again", file=sys.stderr)

    def _summary(self, seconds: float, restarts: int) -> dict[str, Any]:
        varied = variation_percent(self.windows.closed, self._options.window)
        return summary(self.windows.overall, seconds, varied, restarts)
