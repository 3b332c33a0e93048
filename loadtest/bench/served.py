"""`make bench-served MODEL=voc`: throughput of the service relative to calling the SavedModel.

In turn: callers over HTTP through gateway and model server, and as many threads on a Session in one
process. A closed loop, because this measures the machine's limit and not latency.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from .. import CommandError
from .client import drive
from .processes import ProcessTree, background
from .running import free_port, local
from .servers import ROOT

START_TIMEOUT_S = 300


class Round(NamedTuple):
    images_per_s: float
    cpu_ms: float  # per image, of all serving processes


class Service:
    """`python -m service.run`: gateway and model server."""

    def __init__(self, base: Path, port: int, picture: bytes, exits: ExitStack) -> None:
        log = Path(exits.enter_context(tempfile.TemporaryDirectory())) / "log"
        command = [sys.executable, "-m", "service.run", f"--model={base.name}", f"--port={port}"]
        command.append(f"--repository={base.parent}")
        self.tree = exits.enter_context(ProcessTree(command, ROOT, {}, log))
        self._service = local(port)
        self._request = self._service.detect(picture)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if self.tree.ended() or time.monotonic() > deadline:
                raise CommandError(f"the service did not start: {self.tree.log_end()}")
            time.sleep(0.2)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._service.url}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def run(self, callers: int, seconds: float) -> Round:
        before = self.tree.cpu_s()
        load = asyncio.run(drive(self._service, self._request, callers, seconds))
        cpu_s = self.tree.cpu_s() - before
        return Round(load.answered / load.seconds, 1000 * cpu_s / load.answered)


class InProcess:
    """The SavedModel in a Session, in a separate process."""

    def __init__(self, version: Path, picture: Path, exits: ExitStack) -> None:
        command = [sys.executable, "-m", "loadtest.bench.in_process", str(version), str(picture)]
        self.process = exits.enter_context(
            background(command, ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise CommandError("the SavedModel cannot be run in process; see its output above")
        return line

    def run(self, callers: int, seconds: float) -> Round:
        assert self.process.stdin
        self.process.stdin.write(f"{callers} {seconds}\n")
        self.process.stdin.flush()
        images, took_s, cpu_s = map(float, self._answer().split())
        return Round(images / took_s, 1000 * cpu_s / images)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench served", description=__doc__)
    parser.add_argument("--model", default="demo", help="model in the repository")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--picture", required=True, type=Path, help="JPEG to send")
    parser.add_argument(
        "--callers", type=int, default=4, help="concurrent callers (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=8, help="length of a round (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--port", type=int, help="of the service (default: a free one)")
    options = parser.parse_args(arguments)
    base = options.repository.resolve() / options.model
    version = base / str(max(int(p.name) for p in base.iterdir() if p.name.isdigit()))
    with ExitStack() as exits:
        service = Service(base, options.port or free_port(), options.picture.read_bytes(), exits)
        alone = InProcess(version, options.picture, exits)
        pairs, memory = [], []
        for _ in range(options.rounds):
            pairs.append(
                (
                    service.run(options.callers, options.seconds),
                    alone.run(options.callers, options.seconds),
                )
            )
            memory.append(service.tree.resident_mb())
            mine, theirs = pairs[-1]
            print(
                f"service {mine.images_per_s:.2f} images/s, {mine.cpu_ms:.1f} ms CPU; in process "
                f"{theirs.images_per_s:.2f} images/s, {theirs.cpu_ms:.1f} ms CPU; service "
                f"{memory[-1]:.0f} MB",
                flush=True,
            )
    rate = statistics.median(a.images_per_s / b.images_per_s for a, b in pairs)
    cpu = statistics.median(b.cpu_ms / a.cpu_ms for a, b in pairs)
    print(
        f"median of {options.rounds} rounds: throughput {rate:.3f} of in process; by CPU per image,"
        f" the HTTP client excluded, {cpu:.3f}; memory {memory[0]:.0f} to {memory[-1]:.0f} MB"
    )
    return 0
