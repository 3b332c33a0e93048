"""`python -m loadtest server`: how many requests per second a service takes within a bound.

MLPerf's Server scenario over HTTP: Poisson arrivals from a seed, one picture each; the highest rate
at which P99 stays under the bound and at least 97 % are answered.
"""

import argparse
import asyncio
import contextlib
import time
from itertools import islice
from typing import Any

from .availability import Availability
from .connection import Connection, address
from .first_answer import first_answer
from .histogram import Histogram
from .host import HostReadings
from .interrupts import interruptible
from .open_loop import OpenLoop
from .options import add_run, positive, seconds
from .picture_folder import Pictures, read_folder
from .rate_search import highest
from .replies import BROKEN, UNREACHABLE, ask
from .run_file import RunFile
from .run_words import errors, milliseconds, tell
from .schedule import arrivals
from .stopped import Stopped
from .windows import Tally, Windows, summary

ANSWERED_SHARE = 0.97
SINGLE = 5  # requests one after the other, for the first rate
LAG_MS = 10  # a client that is later than that with its requests measures itself


def add_server(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_run(commands, "server", _run, "the highest rate within a bound of latency, open loop")
    add("--bound-ms", type=float, default=100.0, metavar="MS", help="of P99 (default: %(default)s)")
    add("--seconds", type=seconds, default=30.0, metavar="TIME", help="of a trial, at least (30s)")
    least = "of a trial, at least (default: %(default)s)"
    add("--requests", type=positive, default=100, metavar="N", help=least)
    add("--rate", type=float, metavar="R", help="requests per second: one trial, and no search")


def _run(options: argparse.Namespace) -> int:
    if options.rate is not None and not options.rate > 0:
        raise Stopped(f"--rate {options.rate:g}: more than 0 expected")
    file = RunFile("server", options)
    return asyncio.run(Server(options, file, read_folder(options.images)).run())


class Server:
    """Trials at rates that follow from each other's results. A window of the file is a trial."""

    def __init__(self, options: argparse.Namespace, file: RunFile, pictures: Pictures) -> None:
        self._options = options
        self._file = file
        self._pictures = pictures
        self._address = address(options.url)
        self._loop = OpenLoop(self._address, pictures)
        self._stop = asyncio.Event()
        self._search: list[dict[str, Any]] = []
        self._shown = (Tally(), 0.0)  # the best trial that passed, or else the last; its seconds
        self._passed = False
        self._stopped: Stopped | None = None

    async def run(self) -> int:
        options = self._options
        with interruptible(self._stop), contextlib.closing(self._loop):
            order = islice(self._pictures.order(options.seed), len(self._pictures.paths))
            first = map(self._loop.request, order)
            model = await first_answer(self._address, options.url, first)
            self._file.start(model, self._pictures)
            self._windows = Windows(HostReadings())
            try:
                if options.rate:
                    await self._trial(options.rate)
                else:
                    await highest(await self._single_stream(), self._trial)
            except asyncio.CancelledError:
                self._stop.set()
            except Stopped as error:
                self._stopped = error
                self._stop.set()
        found = self._write("interrupted" if self._stop.is_set() else "complete")
        tell(model, self._shown[0], found, self._file.path)
        if self._stopped:
            raise Stopped(f"{self._stopped}; what was measured before is in {self._file.path}")
        if self._stop.is_set():
            return 130
        return self._verdict()

    def _verdict(self) -> int:
        passed = [step["rate"] for step in self._search if step["passed"]]
        bound = f"P99 within {self._options.bound_ms:g} ms and {ANSWERED_SHARE:.0%} answered"
        print(f"{max(passed):.2f} requests/s with {bound}" if passed else f"no rate has {bound}")
        return 0 if passed or self._options.rate else 1

    async def _single_stream(self) -> float:
        """The rate of one caller who waits for each answer: where the search begins."""
        took = []
        with contextlib.closing(Connection(self._address)) as connection:
            for number in islice(self._pictures.order(self._options.seed), SINGLE):
                outcome = await ask(connection, *self._loop.request(number))
                took += [outcome.latency_s] if outcome.latency_s else []
        if not took:
            raise Stopped(f"{self._options.url} answered, and does not any more: {outcome.detail}")
        return len(took) / sum(took)

    async def _trial(self, rate: float) -> bool:
        options, tally = self._options, Tally()
        if self._stop.is_set():
            raise asyncio.CancelledError  # as if told twice
        times = arrivals(rate, options.seconds, options.requests, options.seed)
        order = self._pictures.order(options.seed)
        try:
            await self._loop.run(times, order, self._stop, tally.add)
        finally:
            until = time.perf_counter()
            window = self._windows.of(tally, until)
            self._windows.closed.append(window)
            if not self._passed:
                self._shown = (tally, until - tally.started)
        await asyncio.to_thread(self._windows.read_host, window)
        await self._still_there(tally)
        if self._stop.is_set():
            raise asyncio.CancelledError
        step = self._judged(rate, tally)
        self._search.append(step)
        if step["passed"]:
            self._passed, self._shown = True, (tally, until - tally.started)
        self._say(step, tally, self._loop.lag)
        self._write("interrupted")
        return bool(step["passed"])

    async def _still_there(self, tally: Tally) -> None:
        """A service that went away is no service that is slow."""
        if tally.errors.keys() & {UNREACHABLE, BROKEN}:
            availability = Availability(self._address, self._stop, 0)
            if not await availability.ready():
                raise Stopped(f"{self._options.url} went away")

    def _judged(self, rate: float, tally: Tally) -> dict[str, Any]:
        p99 = tally.histogram.percentile_ms(0.99)
        share = tally.images / tally.sent
        passed = p99 is not None and p99 <= self._options.bound_ms and share >= ANSWERED_SHARE
        return {
            "rate": round(rate, 4),
            "p99_ms": p99,
            "answered_share": round(share, 5),
            "passed": passed,
        }

    def _say(self, step: dict[str, Any], tally: Tally, lag: Histogram) -> None:
        words = f"{step['rate']:.2f} requests/s: P99 {milliseconds(step['p99_ms'])}"
        words += f", {step['answered_share']:.1%} of {tally.sent} answered"
        words += f" ({errors(tally.errors)})" if tally.errors else ""
        print(f"{words}: {'passed' if step['passed'] else 'failed'}", flush=True)
        if (late := lag.percentile_ms(0.99)) is not None and late > LAG_MS:
            print(f"warning: requests left up to {late:.0f} ms late (P99), by this client's fault")

    def _write(self, ended: str) -> dict[str, Any]:
        tally, took_s = self._shown
        found = summary(tally, took_s, None, 0)
        self._file.write(ended, self._windows.closed, tally.histogram, found, self._search)
        return found
