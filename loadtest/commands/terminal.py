"""A run on the terminal: progress bar, interrupts, and the summary at the end."""

import asyncio
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from ..client import Model
from ..run import Summary

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOG_INTERVAL_S = 15


def progress_bar(total: int, done: int = 0) -> "tqdm[NoReturn]":
    """On stderr; in a log a line every 15 s instead of an animation."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        unit=" pictures",
        file=sys.stderr,
        mininterval=0.1 if terminal else LOG_INTERVAL_S,
        miniters=None if terminal else 1,
        dynamic_ncols=terminal,
    )


@contextmanager
def interruptible(stop: asyncio.Event) -> Generator[None, None, None]:
    """Ctrl-C and SIGTERM end the run, not the process, so that its results are written.

    The first signal sets `stop`; the second cancels the task that entered this context.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def interrupt() -> None:
        if stop.is_set() and task:
            task.cancel()
        else:
            stop.set()
            print(
                "interrupted: waiting for responses; interrupt again to stop now", file=sys.stderr
            )

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def print_summary(model: Model, summary: Summary, path: Path) -> None:
    latency = summary.latency_ms.model_dump()
    print(
        f"{model}: {summary.images} pictures in {summary.seconds:.1f} s,"
        f" {summary.images_per_s:.2f} images/s"
    )
    values = (f"{name} {milliseconds(latency[name])}" for name in ("mean", "p50", "p90", "p99"))
    print(f"latency per request: {', '.join(values)}, max {milliseconds(latency['max'])}")
    if summary.variation_percent is not None:
        print(f"throughput varies by {summary.variation_percent:.1f} % between windows")
    if summary.yardstick_variation_percent is not None:
        own = summary.yardstick_variation_percent
        print(f"the speed of the machine itself varies by {own:.1f} %")
    if summary.restarts_seen:
        print(f"service restarts seen: {summary.restarts_seen}")
    print(f"written: {path}")
    if summary.errors:
        failed = sum(summary.errors.values())
        sent = summary.images + failed
        warn(f"{failed} of {sent} pictures failed ({error_counts(summary.errors)})")


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def error_counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in kinds.items())


def warn(sentence: str) -> None:
    sys.stdout.flush()  # keeps the order in a log of both streams
    print(f"warning: {sentence}", file=sys.stderr)
