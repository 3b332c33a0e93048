"""What the options of the runs have in common."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def add_run(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
) -> Callable[..., argparse.Action]:
    """A command with the options that every run has: what adds the others."""
    parser = commands.add_parser(name, help=about)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--url", required=True, help="of the service, such as http://localhost:8000")
    add("--images", required=True, type=Path, metavar="DIR", help="the folder of the pictures")
    add("--seed", type=int, default=0, metavar="N", help="decides the order (default: %(default)s)")
    out = f"for run.json (default: runs/{name}-<date>-<time>)"
    add("--out", type=Path, metavar="DIR", help=out)
    add("--label", metavar="TEXT", help="what a report calls this run (default: the model's name)")
    precision = "the precision the model was exported in, for the report: no answer tells"
    add("--precision-note", metavar="TEXT", help=precision)
    return add


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: 1 or more expected")
    return int(text)


def seconds(text: str) -> float:
    """`90`, `90s`, `1.5m`, `2h` or `1h30m`, in seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    found = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not found:
        raise argparse.ArgumentTypeError(f"{text!r}: a time such as 90s, 30m or 2h expected")
    return found
