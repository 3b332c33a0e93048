"""The command line, `python -m loadtest`. What stops a command costs one sentence and status 1."""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence

from .accuracy import add_accuracy
from .mlperf import add_mlperf
from .report import add_report
from .server import add_server
from .soak import add_soak
from .stopped import Stopped
from .throughput import add_throughput

# Each adds a parser whose default `run` takes the options and returns the exit status.
# `options.command` is the line that was typed, for reports.
COMMANDS = (add_accuracy, add_throughput, add_soak, add_server, add_mlperf, add_report)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest", description="Measure a detection service from outside."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in COMMANDS:
        add(commands)
    typed = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(typed)
    options.command = shlex.join(["python", "-m", "loadtest", *typed])
    try:
        status: int = options.run(options)
    except Stopped as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    # Left as it is, SIGTERM would end the process without the clean-up an interrupt gets.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
