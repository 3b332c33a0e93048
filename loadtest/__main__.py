"""The command line, `python -m loadtest`. Errors print one line and exit with status 1."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import CommandError

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "loadtest.txt"
PACKAGES = {
    *("httptools", "jinja2", "matplotlib", "mlperf_loadgen", "numpy", "psutil", "pycocotools"),
    *("pydantic", "tqdm"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(typed)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in PACKAGES:
            raise
        install = f"{sys.executable} -m pip install -r {REQUIREMENTS}"
        print(f"error: {package} is not installed: {install}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(typed: Sequence[str]) -> int:
    # Imported here, so that a missing package is reported like any other error.
    from .accuracy.command import add_accuracy
    from .commands.benchmark import add_benchmark
    from .commands.mlperf import add_mlperf
    from .commands.options import without_key
    from .commands.server import add_server
    from .commands.soak import add_soak
    from .commands.throughput import add_throughput
    from .report.command import add_report

    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description="Measure a detection service over HTTP.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    # Each adds a parser whose default `run` takes the options and returns the exit status.
    for add in (add_accuracy, add_throughput, add_soak, add_server, add_mlperf, add_report):
        add(commands)
    add_benchmark(commands)
    options = parser.parse_args(typed)
    options.command = without_key(typed)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    # The default handler of SIGTERM would end the process without clean-up.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
