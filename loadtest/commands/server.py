"""`python -m loadtest server`: the highest rate of requests within a latency limit.

MLPerf's Server scenario over HTTP: Poisson arrivals from a seed, one picture per request, latency
from the scheduled arrival. A rate passes when the P99 is within the limit. A failed request counts
as infinitely slow, so at most 1 % may fail.
"""

import argparse
import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from itertools import islice
from typing import Literal

from .. import CommandError
from ..client import BROKEN, UNREACHABLE, Connection, Service, ask
from ..load import (
    Availability,
    ConnectionPool,
    Request,
    arrivals,
    highest_rate,
    identify,
    open_loop,
    percentile,
)
from ..pictures import read_folder
from ..run import P99_REQUESTS, RunFile, Trial, Window
from .options import add_run, positive, positive_number, seconds
from .tally import Histogram, Tally, read_host
from .terminal import error_counts, interruptible, milliseconds, print_summary, warn

SEQUENTIAL = 5  # requests one after the other, whose rate is tried first
LATE_S = 0.01  # a client that sends later than that measures itself


def add_server(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_run(commands, "server", _run, "highest rate of requests within a latency limit")
    add("--bound-ms", type=positive_number, default=100.0, metavar="MS", help="P99 limit in ms")
    add("--seconds", type=seconds, default="30s", metavar="TIME", help="minimum length of a trial")
    least = f"minimum requests per trial; the P99 is not known from fewer than {P99_REQUESTS}"
    add("--requests", type=positive, default=P99_REQUESTS, metavar="N", help=least)
    rate = "requests per second: one trial at this rate instead of a search"
    add("--rate", type=positive_number, metavar="R", help=rate)
    repeats = "trials per rate, with different arrivals; their median P99 decides"
    add("--repeats", type=positive, default=1, metavar="N", help=repeats)


def _run(options: argparse.Namespace) -> int:
    return asyncio.run(Server(options).run())


class Server:
    """Trials at rates that depend on earlier results. Each trial is a window of the file."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._file = RunFile("server", options)
        self._pictures = read_folder(options.images)
        self._service = Service.at(options.url, options.key)
        self._pool = ConnectionPool(self._service)
        self._stop = asyncio.Event()
        self._trials: list[Trial] = []
        self._windows: list[Window] = []
        self._shown = (Tally(), 0.0)  # of the best rate that passed, else the last; its seconds
        self._started = time.perf_counter()

    def _request(self, number: int) -> Request:
        return self._service.detect(self._pictures.read(number)), [number]

    async def run(self) -> int:
        options, error = self._options, None
        with interruptible(self._stop), contextlib.closing(self._pool):
            once = islice(self._pictures.order(options.seed), len(self._pictures.paths))
            model = await identify(self._service, map(self._request, once))
            self._file.start(model, self._pictures)
            try:
                if options.rate:
                    await self._passes(options.rate)
                else:
                    await highest_rate(await self._sequential_rate(), self._passes)
            except asyncio.CancelledError:
                self._stop.set()
            except CommandError as stopped:
                error = stopped
                self._stop.set()
        self._write("interrupted" if self._stop.is_set() else "complete")
        print_summary(model, self._file.content.results, self._file.path)
        if error:
            raise CommandError(f"{error}; results so far are in {self._file.path}")
        return 130 if self._stop.is_set() else self._verdict()

    def _verdict(self) -> int:
        passed = [trial for trial in self._trials if trial.passed]
        limit = f"P99 within {self._options.bound_ms:g} ms"
        if not passed:
            print(f"no rate keeps {limit}")
            return 0 if self._options.rate else 1
        best = max(passed, key=lambda trial: trial.rate)
        print(f"{best.rate:.2f} requests/s with {limit}")
        if not best.p99_known:
            warn(f"the P99 is not known: {best.requests} requests per trial, {P99_REQUESTS} needed")
        return 0

    async def _sequential_rate(self) -> float:
        """The rate of one caller in a closed loop, where the search begins."""
        latencies = []
        with contextlib.closing(Connection(self._service)) as connection:
            for number in islice(self._pictures.order(self._options.seed), SEQUENTIAL):
                outcome = await ask(connection, *self._request(number))
                latencies += [outcome.latency_s] if outcome.latency_s else []
        if not latencies:
            raise CommandError(f"{self._options.url} stopped answering: {outcome.detail}")
        return len(latencies) / sum(latencies)

    async def _passes(self, rate: float) -> bool:
        """Try a rate, `repeats` times. The repeat with the median P99 decides, and is shown."""
        repeats: list[tuple[Trial, Tally, float]] = []
        for repeat in range(self._options.repeats):
            tally, seconds = await self._load(rate, self._options.seed + repeat)
            trial = self._judge(rate, tally)
            repeats.append((trial, tally, seconds))
            self._print(trial, tally)
        repeats.sort(key=lambda one: math.inf if one[0].p99_ms is None else one[0].p99_ms)
        trial, tally, seconds = repeats[len(repeats) // 2]
        if len(repeats) > 1:
            p99s = [one[0].p99_ms for one in repeats]
            trial.p99_repeats_ms = p99s
            print(f"{rate:.2f} requests/s: P99 {_spread(p99s)} in {len(p99s)} repeats")
        if trial.passed or not any(other.passed for other in self._trials):
            self._shown = (tally, seconds)
        self._trials.append(trial)
        self._write("interrupted")
        return trial.passed

    async def _load(self, rate: float, seed: int) -> tuple[Tally, float]:
        """One trial: its tally and length in seconds."""
        options, tally = self._options, Tally(failures_are_infinite=True)
        if self._stop.is_set():
            raise asyncio.CancelledError
        schedule = arrivals(rate, options.seconds, options.requests, seed)
        numbers = self._pictures.order(seed)
        try:
            late = await open_loop(
                self._pool, self._request, numbers, schedule, tally.add, self._stop
            )
        finally:
            until = time.perf_counter()
            self._windows.append(tally.window(self._started, until))
            if not any(trial.passed for trial in self._trials):
                self._shown = (tally, until - tally.started)
        await asyncio.to_thread(read_host, self._windows[-1])
        lost = tally.errors.keys() & {UNREACHABLE, BROKEN}
        # A service that went away is not a slow one.
        if lost and not await Availability(self._service, self._stop, 0).ready():
            raise CommandError(f"{options.url} became unavailable")
        if self._stop.is_set():
            raise asyncio.CancelledError
        if percentile(late, 0.99) > LATE_S:
            warn(
                f"this client sent requests up to {1e3 * percentile(late, 0.99):.0f} ms late (P99)"
            )
        return tally, until - tally.started

    def _judge(self, rate: float, tally: Tally) -> Trial:
        p99 = tally.histogram.percentile_ms(0.99)
        return Trial(
            rate=round(rate, 4),
            p99_ms=p99,
            p99_interval_ms=p99_interval(tally.histogram),
            answered_share=round(tally.images / tally.sent, 5),
            requests=tally.sent,
            passed=p99 is not None and p99 <= self._options.bound_ms,
        )

    def _print(self, trial: Trial, tally: Tally) -> None:
        p99 = _latency(trial.p99_ms)
        if trial.p99_known and trial.p99_interval_ms:
            p99 += f" (95 % confidence {_spread(trial.p99_interval_ms)})"
        elif not trial.p99_known:
            p99 += f" of only {trial.requests} requests"
        errors = f" ({error_counts(tally.errors)})" if tally.errors else ""
        answered = f"{trial.answered_share:.1%} of {tally.sent} answered{errors}"
        verdict = "passed" if trial.passed else "failed"
        print(f"{trial.rate:.2f} requests/s: P99 {p99}, {answered}: {verdict}", flush=True)

    def _write(self, ended: Literal["complete", "interrupted"]) -> None:
        tally, seconds = self._shown
        buckets, summary = tally.histogram.buckets(), tally.summary(seconds)
        self._file.write(ended, self._windows, buckets, summary, self._trials)


def p99_interval(histogram: Histogram) -> tuple[float | None, float | None]:
    """95 % confidence interval of the P99 in ms, by the ranks that a binomial count may have.

    None is infinite, or beyond the slowest of the requests.
    """
    count = histogram.count
    margin = 1.96 * math.sqrt(count * 0.99 * 0.01)
    low, high = math.floor(0.99 * count - margin), math.ceil(0.99 * count + margin) + 1
    return histogram.ranked_ms(low), histogram.ranked_ms(high)


def _latency(value: float | None) -> str:
    return "infinite" if value is None else milliseconds(value)


def _spread(values: Sequence[float | None]) -> str:
    ordered = sorted(values, key=lambda value: math.inf if value is None else value)
    return f"{_latency(ordered[0])} to {_latency(ordered[-1])}"
