"""`make bench-served MODEL=voc`: what serving costs beside calling the SavedModel oneself.

In turn: callers over HTTP through gateway and model server, and as many threads on a Session in one
process. Closed loop, because it is the machine's limit that is wanted, not a latency.
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

from .gateway_bench_client import drive, raw_request
from .gateway_bench_process import ProcessTree, family

ROOT = Path(__file__).parent.parent
UP_WITHIN_S = 300


class Round(NamedTuple):
    images_per_s: float
    cpu_ms: float  # of an image, of all that serves it


class Service:
    """`python -m service.run`: gateway and model server."""

    def __init__(self, base: Path, port: int, picture: bytes, exits: ExitStack) -> None:
        log = Path(exits.enter_context(tempfile.TemporaryDirectory())) / "log"
        command = [sys.executable, "-m", "service.run", f"--model={base.name}", f"--port={port}"]
        command.append(f"--repository={base.parent}")
        self.tree = exits.enter_context(ProcessTree(command, ROOT, {}, log))
        self.port = port
        self.request = raw_request("/detect", picture)
        deadline = time.monotonic() + UP_WITHIN_S
        while not self._ready():
            if self.tree.ended() or time.monotonic() > deadline:
                sys.exit(self.tree.log_end())
            time.sleep(0.2)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def run(self, callers: int, seconds: float) -> Round:
        before = self.tree.cpu_s()
        load = asyncio.run(drive(self.port, self.request, callers, seconds))
        cpu_s = self.tree.cpu_s() - before
        return Round(load.answered / load.seconds, 1000 * cpu_s / load.answered)

    def resident_mb(self) -> float:
        return sum(resident_mb(pid) for pid in family(self.tree.process.pid))


class InProcess:
    """The SavedModel in a Session of a process of its own, and nothing around it."""

    def __init__(self, version: Path, picture: Path, exits: ExitStack) -> None:
        command = [sys.executable, "-m", "loadtest.in_process", str(version), str(picture)]
        self.process = exits.enter_context(
            subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        exits.callback(self.process.terminate)
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the SavedModel cannot be run in process; what it said stands above")
        return line

    def run(self, callers: int, seconds: float) -> Round:
        assert self.process.stdin
        self.process.stdin.write(f"{callers} {seconds}\n")
        self.process.stdin.flush()
        images, took_s, cpu_s = map(float, self._answer().split())
        return Round(images / took_s, 1000 * cpu_s / images)


def resident_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.served_bench", description=__doc__)
    parser.add_argument("--model", default="demo", help="a folder of model_repository")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--picture", required=True, type=Path, help="a JPEG")
    parser.add_argument("--callers", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--port", type=int, default=8099, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    base = options.repository.resolve() / options.model
    version = base / str(max(int(p.name) for p in base.iterdir() if p.name.isdigit()))
    with ExitStack() as exits:
        service = Service(base, options.port, options.picture.read_bytes(), exits)
        alone = InProcess(version, options.picture, exits)
        pairs, memory = [], []
        for _ in range(options.rounds):
            pairs.append(
                tuple(one.run(options.callers, options.seconds) for one in (service, alone))
            )
            memory.append(service.resident_mb())
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
        f"median of {options.rounds} rounds: throughput {rate:.3f} of in process; by CPU an image, "
        f"the callers' own left out, {cpu:.3f}; memory {memory[0]:.0f} to {memory[-1]:.0f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
