"""`python -m loadtest throughput`: the first experiment of AWS's post, over HTTP.

5,000 pictures in batches of 8, 4 at the same time; images per second by the clock on the wall, over
all pictures. The post's own script lost its last batch and divided by all 5,000 all the same.
"""

import argparse
import asyncio
from pathlib import Path

from .closed_run import ClosedRun
from .options import add_run, positive, seconds
from .picture_folder import Pictures, read_folder, read_pictures
from .progress import Progress
from .replies import Outcome
from .run_file import RunFile
from .run_words import tell
from .throughput_accuracy import QUERY, Accuracy


def add_throughput(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_run(commands, "throughput", _run, "images per second over a number of pictures")
    count = "how many, those of DIR again and again (default: %(default)s)"
    add("--pictures", type=positive, default=5000, metavar="N", help=count)
    add("--workers", type=positive, default=4, metavar="N", help="(default: %(default)s)")
    add(
        "--batch", type=positive, default=8, metavar="N", help="pictures of a request (%(default)s)"
    )
    add("--window", type=seconds, default=30.0, metavar="TIME", help="of a window (30s)")
    patience = "how long a service that is away is waited for (default: %(default)s)"
    add("--patience", type=float, default=30.0, metavar="SECONDS", help=patience)
    annotations = "in COCO's format, for AP of the same answers; its pictures are sent, not DIR's"
    add("--annotations", type=Path, metavar="JSON", help=annotations)


def _run(options: argparse.Namespace) -> int:
    file = RunFile("throughput", options)
    accuracy = Accuracy(options) if options.annotations else None
    pictures = _pictures(options, accuracy)
    with Progress(options.pictures) as progress:

        def seen(outcome: Outcome) -> None:
            for reply in outcome.replies:
                progress.step(error=isinstance(reply, str))
            if accuracy:
                accuracy.add(outcome)

        query = QUERY if accuracy else ""
        run = ClosedRun(options, file, pictures, seen, query=query)
        batches = pictures.batches(options.seed, options.batch, options.pictures)
        asyncio.run(run.run(batches, options.workers, float("inf"), options.patience))
    tell(run.model, run.windows.overall, run.summary, file.path)
    if run.ended != "complete":
        return 130
    if accuracy:
        run.write(accuracy.evaluated(options, run.model, run.summary))
    return 1 if run.summary["errors"] else 0


def _pictures(options: argparse.Namespace, accuracy: Accuracy | None) -> Pictures:
    return read_pictures(accuracy.paths) if accuracy else read_folder(options.images)
