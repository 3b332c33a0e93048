"""`python -m loadtest throughput`: images per second over a number of pictures.

The AWS post's first experiment over HTTP: 5,000 pictures in batches of 8, four at the same time.
Wall-clock time over all pictures; the post's own script lost its last batch and still divided by
5,000.
"""

import argparse
import asyncio
import math
from pathlib import Path
from urllib.parse import urlencode

from ..accuracy.requests import QUERY
from ..client import Outcome
from ..pictures import read_folder, read_pictures
from .closed_run import ClosedRun
from .options import add_run, positive, seconds
from .terminal import progress_bar


def add_throughput(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_run(commands, "throughput", _run, "images per second over a number of pictures")
    count = "number of pictures; those of DIR are repeated as needed"
    add("--pictures", type=positive, default=5000, metavar="N", help=count)
    add("--workers", type=positive, default=4, metavar="N", help="concurrent requests")
    add("--batch", type=positive, default=8, metavar="N", help="pictures per request")
    add("--window", type=seconds, default="30s", metavar="TIME", help="length of a window")
    patience = "how long to wait for an unavailable service"
    add("--patience", type=float, default=30.0, metavar="SECONDS", help=patience)
    annotations = "COCO annotations: send their pictures, and also report AP of the same answers"
    add("--annotations", type=Path, metavar="JSON", help=annotations)


def _run(options: argparse.Namespace) -> int:
    accuracy = None
    if options.annotations:
        from ..accuracy.of_answers import AnswerAccuracy  # needs pycocotools

        accuracy = AnswerAccuracy(options)
    with progress_bar(options.pictures) as progress:
        failed = 0

        def on_outcome(outcome: Outcome) -> None:
            nonlocal failed
            failures = sum(isinstance(answer, str) for answer in outcome.answers)
            if failures:
                failed += failures
                progress.set_postfix(failed=failed, refresh=False)
            progress.update(len(outcome.answers))
            if accuracy:
                accuracy.add(outcome)

        run = ClosedRun(
            options,
            "throughput",
            lambda: read_pictures(accuracy.paths) if accuracy else read_folder(options.images),
            on_outcome,
            query="?" + urlencode(QUERY) if accuracy else "",
        )
        asyncio.run(run.run(options.workers, options.pictures, math.inf, options.patience))
    if run.ended != "complete":
        return 130
    if accuracy:
        run.write(accuracy.evaluate(run.model, run.summary))
    return 1 if run.summary.errors else 0
