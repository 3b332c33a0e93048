"""`python -m loadtest benchmark`: the AWS post's experiments, an open loop, and the report.

For each service: throughput over 5,000 pictures with their AP, a soak, and the highest rate within
a latency limit. Experiments that are complete in --out are not repeated, so that the same command
continues after an interruption.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from .. import CommandError
from ..run import Run, read
from .options import Defaults, positive, positive_number, seconds

KINDS = ("throughput", "soak", "server")


def add_benchmark(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    description = "throughput, soak and server of several services, one after another, and a report"
    parser = commands.add_parser(
        "benchmark", help=description, allow_abbrev=False, formatter_class=Defaults
    )
    parser.set_defaults(run=_run)
    add = parser.add_argument
    service = "a service and its name in the report, f32=http://localhost:8001; repeatable"
    add(
        "--service",
        required=True,
        action="append",
        type=labelled,
        metavar="LABEL=URL",
        help=service,
    )
    add("--images", required=True, type=Path, metavar="DIR", help="directory of pictures")
    add("--annotations", type=Path, metavar="JSON", help="COCO annotations, for AP")
    add("--out", required=True, type=Path, metavar="DIR", help="directory of runs and report")
    add("--experiments", nargs="+", choices=KINDS, default=KINDS, help="only these")
    add("--pictures", type=positive, default=5000, metavar="N", help="pictures of `throughput`")
    add("--duration", type=seconds, default="30m", metavar="TIME", help="length of a soak")
    add("--window", type=seconds, default="30s", metavar="TIME", help="length of a window")
    add("--bound-ms", type=positive_number, default=250.0, metavar="MS", help="P99 limit in ms")
    least = "minimum requests per trial of the open loop"
    add("--requests", type=positive, default=1000, metavar="N", help=least)
    add("--seconds", type=seconds, default="30s", metavar="TIME", help="minimum length of a trial")
    add("--repeats", type=positive, default=3, metavar="N", help="trials per rate")


def labelled(text: str) -> tuple[str, str]:
    label, equals, url = text.partition("=")
    if not (label and equals and url) or set(label) & set("/\\"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected LABEL=URL")
    return label, url


def _run(options: argparse.Namespace) -> int:
    if len({label for label, _ in options.service}) < len(options.service):
        raise CommandError("--service: each needs a label of its own")
    from ..__main__ import main

    paths = []
    # Kind by kind, so that the runs that are compared are close in time.
    for label, kind, arguments in _experiments(options):
        out = options.out / label / kind
        paths.append(out / "run.json")
        if _complete(paths[-1]):
            print(f"{kind} of {label}: already in {paths[-1]}")
            continue
        paths[-1].unlink(missing_ok=True)
        print(f"{kind} of {label}:", flush=True)
        status = main([kind, *arguments, "--out", str(out), "--label", label])
        if not _complete(paths[-1]):
            print(f"{kind} of {label} is not complete; the same command continues here")
            return status or 1
    runs = map(str, paths)
    return main(["report", *runs, "--out", str(options.out / "report"), "--post"])


def _experiments(options: argparse.Namespace) -> Iterator[tuple[str, str, list[str]]]:
    """Label, command and its options."""
    window = ["--window", f"{options.window}s"]
    annotations = ["--annotations", str(options.annotations)] if options.annotations else []
    own = {
        "throughput": ["--pictures", str(options.pictures), *window, *annotations],
        "soak": ["--duration", f"{options.duration}s", *window],
        "server": [
            *("--bound-ms", str(options.bound_ms), "--requests", str(options.requests)),
            *("--seconds", f"{options.seconds}s", "--repeats", str(options.repeats)),
        ],
    }
    for kind in options.experiments:
        for label, url in options.service:
            yield label, kind, ["--url", url, "--images", str(options.images), *own[kind]]


def _complete(path: Path) -> bool:
    """A run that was interrupted before its first result cannot even be read."""
    if not path.exists():
        return False
    try:
        run: Run = read(path)
    except CommandError:
        return False
    return run.complete
