"""Command-line options shared by the commands, and their types."""

import argparse
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    description: str,
) -> Callable[..., argparse.Action]:
    """A command that calls a service. Returns the function that adds its own options."""
    parser = commands.add_parser(
        name, help=description, allow_abbrev=False, formatter_class=Defaults
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--url", required=True, help="service URL, such as http://localhost:8000")
    add("--images", required=True, type=Path, metavar="DIR", help="directory of pictures")
    key = "API key; prefer the environment variable DETECT_API_KEY, which `ps` does not show"
    add("--key", default=os.environ.get("DETECT_API_KEY"), type=visible_ascii, help=key)
    return add


def add_run(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    description: str,
) -> Callable[..., argparse.Action]:
    """A command that also writes run.json."""
    add = add_command(commands, name, run, description)
    add("--seed", type=int, default=0, metavar="N", help="seed of the pictures' order")
    out = f"directory for run.json (default: runs/{name}-<date>-<time>)"
    add("--out", type=Path, metavar="DIR", help=out)
    add("--label", metavar="TEXT", help="name of the run in reports (default: the model's name)")
    precision = "precision of the model, for reports; not reported by the service"
    add("--precision-note", metavar="TEXT", help=precision)
    return add


class Defaults(argparse.HelpFormatter):
    """Adds the default to the help of each option that has one, except the API key."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if action.default in (None, argparse.SUPPRESS, False) or action.dest == "key":
            return text
        return f"{text} (default: %(default)s)"


def without_key(arguments: Sequence[str]) -> str:
    """The command line as it may be written into files: no API key."""
    shown = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("--key="):
            argument = "--key=..."
        shown.append("..." if before == "--key" else argument)
    return shlex.join(["python", "-m", "loadtest", *shown])


def visible_ascii(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise argparse.ArgumentTypeError("expected visible ASCII characters without spaces")
    return text


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 or more")
    return int(text)


def positive_number(text: str) -> float:
    try:
        if 0 < float(text) < float("inf"):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")


def seconds(text: str) -> float:
    """`90`, `90s`, `1.5m`, `2h` or `1h30m`, in seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not total:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 30m or 2h")
    return total
