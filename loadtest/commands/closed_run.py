"""A run of the closed loop, from warm-up to run.json: what `throughput` and `soak` share."""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Literal

from .. import CommandError
from ..client import Outcome, Service
from ..load import Availability, Request, closed_loop, identify
from ..pictures import Pictures
from ..run import RunFile, Summary, Window
from .tally import Windows, read_host, variations_percent
from .terminal import interruptible, print_summary, warn


class ClosedRun:
    """`on_outcome` is called with every outcome, `on_window` with every whole window."""

    def __init__(
        self,
        options: argparse.Namespace,
        kind: Literal["throughput", "soak"],
        pictures: Callable[[], Pictures],
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
        on_window: Callable[[Window], None] = lambda window: None,
        query: str = "",
    ) -> None:
        self._options = options
        self._file = RunFile(kind, options)
        self._pictures = pictures()
        self._on_outcome = on_outcome
        self._on_window = on_window
        self._query = query
        self._service = Service.at(options.url, options.key)
        self.ended: Literal["complete", "interrupted"] = "interrupted"
        self.summary: Summary

    async def run(self, callers: int, count: int | None, seconds: float, patience_s: float) -> None:
        """Raises if the service is not there, stays away longer than `patience_s`, or if the file
        cannot be written."""
        options, pictures, stop = self._options, self._pictures, asyncio.Event()
        availability = Availability(self._service, stop, patience_s)
        batches = pictures.batches(options.seed, options.batch, count)
        requests = map(self._request, batches)
        with interruptible(stop):
            once = pictures.batches(options.seed, options.batch, len(pictures.paths))
            self.model = await identify(self._service, map(self._request, once))
            self._file.start(self.model, pictures)
            self._windows = Windows()
            over = asyncio.Event()
            ticker = asyncio.create_task(self._tick(availability, over))
            started, error = time.perf_counter(), None
            try:
                await closed_loop(
                    self._service, requests, callers, self._add, availability, stop, seconds
                )
            except asyncio.CancelledError:
                stop.set()  # the second interrupt; pending requests have their outcome
            except CommandError as unreadable:
                error = unreadable
            finally:
                took_s = time.perf_counter() - started
                over.set()
                await ticker
        read_host(self._windows.turn())
        self._windows.yardstick.stop()
        if availability.gave_up:
            error = CommandError(f"{options.url} was unavailable for more than {patience_s:g} s")
        self.ended = "interrupted" if stop.is_set() or error else "complete"
        self.summary = self._summarize(took_s, availability.restarts)
        try:
            self.write()
        except CommandError:
            print(self.summary.model_dump_json())  # perhaps hours of work: at least print it
            raise
        if error:
            raise CommandError(f"{error}; results so far are in {self._file.path}")
        print_summary(self.model, self.summary, self._file.path)

    def _request(self, batch: list[int]) -> Request:
        pictures = [self._pictures.read(number) for number in batch]
        return self._service.detect_multipart(pictures, self._query), batch

    def write(self, accuracy: dict[str, Any] | None = None) -> None:
        windows = self._windows
        buckets = windows.overall.histogram.buckets()
        self._file.write(self.ended, windows.closed, buckets, self.summary, accuracy=accuracy)

    def _add(self, outcome: Outcome) -> None:
        self._windows.add(outcome)
        self._on_outcome(outcome)

    async def _tick(self, availability: Availability, over: asyncio.Event) -> None:
        started, length = self._windows.overall.started, self._options.window
        while True:
            left = length - (time.perf_counter() - started) % length
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), left)
                return
            window = self._windows.turn()
            self.summary = self._summarize(time.perf_counter() - started, availability.restarts)
            await asyncio.to_thread(read_host, window)
            self._on_window(window)
            try:
                await asyncio.to_thread(self.write)
            except CommandError as error:  # there may be space again for the next one
                warn(f"{error}; retrying after the next window")

    def _summarize(self, seconds: float, restarts: int) -> Summary:
        varied, yardstick = variations_percent(self._windows.closed, self._options.window)
        return self._windows.overall.summary(seconds, varied, restarts, yardstick)
