"""`python -m loadtest soak`: for hours, as AWS's post does, what does not stay as it began.

8 callers with 4 pictures each in a closed loop. The run survives restarts of the service, an
interrupt, and all but a window of it a kill.
"""

import argparse
import asyncio
from typing import Any

from .closed_run import ClosedRun
from .options import add_run, positive, seconds
from .picture_folder import read_folder
from .run_file import RunFile
from .run_words import errors, milliseconds, tell
from .stopped import Stopped


def add_soak(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_run(commands, "soak", _run, "throughput and latency over hours, in windows")
    add("--duration", type=seconds, default=7200.0, metavar="TIME", help="such as 2h, 90s (2h)")
    add("--callers", type=positive, default=8, metavar="N", help="(default: %(default)s)")
    add(
        "--batch", type=positive, default=4, metavar="N", help="pictures of a request (%(default)s)"
    )
    add("--window", type=seconds, default=30.0, metavar="TIME", help="of a window (30s)")


def _run(options: argparse.Namespace) -> int:
    file = RunFile("soak", options)
    pictures = read_folder(options.images)
    run = ClosedRun(options, file, pictures, lambda outcome: None, _say)
    batches = pictures.batches(options.seed, options.batch)
    asyncio.run(run.run(batches, options.callers, options.duration, float("inf")))
    tell(run.model, run.windows.overall, run.summary, file.path)
    if not run.windows.overall.images:
        raise Stopped(f"{options.url} answered nothing in this run")
    return 0 if run.ended == "complete" else 130


def _say(window: dict[str, Any]) -> None:
    latency = window["latency_ms"]
    words = [
        f"{window['start_s'] + window['seconds']:.0f} s",
        f"{window['images_per_s']:.1f} images/s",
        f"p50 {milliseconds(latency['p50'])}, p99 {milliseconds(latency['p99'])}",
    ]
    if window["host_cpu_percent"] is not None:
        words.append(f"CPU {window['host_cpu_percent']:.0f} %")
    if window["temperature_c"] is not None:
        words.append(f"{window['temperature_c']:.0f} C")
    if window["errors"]:
        words.append(f"errors {errors(window['errors'])}")
    print(", ".join(words), flush=True)
