"""`python -m loadtest soak`: hours of constant load, to reveal drift.

As in the AWS post: 8 callers with 4 pictures each in a closed loop. The run survives restarts of
the service and an interrupt; being killed loses at most one window.
"""

import argparse
import asyncio
import math

from .. import CommandError
from ..pictures import read_folder
from ..run import Window
from .closed_run import ClosedRun
from .options import add_run, positive, seconds
from .terminal import error_counts, milliseconds


def add_soak(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_run(commands, "soak", _run, "hours of constant load, to reveal drift")
    add("--duration", type=seconds, default="2h", metavar="TIME", help="such as 2h or 90s")
    add("--callers", type=positive, default=8, metavar="N", help="concurrent requests")
    add("--batch", type=positive, default=4, metavar="N", help="pictures per request")
    add("--window", type=seconds, default="30s", metavar="TIME", help="length of a window")


def _run(options: argparse.Namespace) -> int:
    run = ClosedRun(options, "soak", lambda: read_folder(options.images), on_window=_print_window)
    asyncio.run(run.run(options.callers, None, options.duration, math.inf))
    if not run.summary.images:
        raise CommandError(f"{options.url} answered no request of this run")
    return 0 if run.ended == "complete" else 130


def _print_window(window: Window) -> None:
    latency = window.latency_ms
    parts = [
        f"{window.start_s + window.seconds:.0f} s",
        f"{window.images_per_s:.1f} images/s",
        f"p50 {milliseconds(latency.p50)}, p99 {milliseconds(latency.p99)}",
    ]
    if window.host_cpu_percent is not None:
        parts.append(f"CPU {window.host_cpu_percent:.0f} %")
    if window.temperature_c is not None:
        parts.append(f"{window.temperature_c:.0f} °C")
    if window.errors:
        parts.append(f"errors {error_counts(window.errors)}")
    print(", ".join(parts), flush=True)
