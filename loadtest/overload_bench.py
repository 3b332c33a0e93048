"""`make bench-overload MODEL=voc`: what a server does when it is asked for more than it can.

This gateway, LitServe and BentoML in turn, each before the same embedded model server: saturation
by a closed loop, then an open loop at multiples of it. A caller waits DEADLINE_S and leaves.
Goodput is what was answered in time, once the queues have filled, of what saturation would have
answered, or of what was asked where that is less.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc

from .connection import Address, Broken, Unreachable
from .gateway_bench_client import drive, percentile, raw_request
from .gateway_bench_process import family
from .gateway_bench_running import NotUp, Running, running
from .gateway_bench_servers import FLOOR, RAW, ROOT, SERVERS, install
from .open_loop import ConnectionPool
from .schedule import arrivals
from .served_bench import resident_mb

DEADLINE_S = 10.0  # the gateway's own default, and BentoML's setting
MOST_OPEN = 4000
CALLERS = 16
UP_WITHIN_S = 300


class Answer(NamedTuple):
    status: int  # 0: none within DEADLINE_S; -1: the connection broke
    at_s: float  # since the trial began
    latency_s: float  # since the scheduled instant


class Trial(NamedTuple):
    """One row: `factor` times saturation, `saturation` in images/s."""

    factor: float
    saturation: float
    seconds: float
    fill_s: float
    answers: list[Answer]
    growth_mb: float  # of the server's resident memory, in the trial

    def row(self) -> str:
        good = [a for a in self.answers if a.status == 200 and a.latency_s <= DEADLINE_S]
        steady = sum(self.fill_s <= a.at_s < self.seconds for a in good)
        due = sum(self.fill_s <= a.at_s - a.latency_s < self.seconds for a in self.answers)
        # Arrivals are random: at 1x they may be fewer than could be answered.
        goodput = steady / min(self.saturation * (self.seconds - self.fill_s), due)
        refused = [a.latency_s for a in self.answers if a.status == 503]
        other = len(self.answers) - len(good) - len(refused)
        p99 = percentile([a.latency_s for a in good], 0.99) if good else float("nan")
        median = f"{1000 * statistics.median(refused):.0f} ms" if refused else "-"
        return (
            f"{self.factor:g}x | {len(self.answers)} | {goodput:.0%} | {len(good)} | {p99:.1f} s |"
            f" {len(refused)} | {median} | {other} | {self.growth_mb:+.0f} MB"
        )


HEAD = (
    "| | offered | requests | goodput | answered in time | their P99 | refused |"
    " median until refused | late, failed | memory |\n|---|---|---|---|---|---|---|---|---|---|"
)


@contextlib.contextmanager
def model_server(base: Path) -> Iterator[str]:
    """The embedded one with this model; its gRPC target, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service.model_server", f"--port={port}"]
    command += ["--model_name=yolov4", f"--model_base_path={base}"]  # what all of them ask for
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(UP_WITHIN_S)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_until_it_answers(one: Running) -> None:
    """The model server listens before a large model is loaded."""
    deadline = time.monotonic() + UP_WITHIN_S
    while True:
        try:
            one.answer(RAW)
            return
        except NotUp as error:
            if one.tree.ended() or time.monotonic() > deadline:
                sys.exit(str(error))


async def trial(port: int, request: bytes, rate: float, seconds: float) -> list[Answer]:
    pool = ConnectionPool(Address("127.0.0.1", port, "", None), MOST_OPEN)
    answers: list[Answer] = []
    begun = time.perf_counter()

    async def one(due: float) -> None:
        status = 0
        with contextlib.suppress(TimeoutError):
            async with pool.connection() as connection:
                try:
                    left = due + DEADLINE_S - time.perf_counter()
                    status, _ = await connection.exchange(request, left)
                except (Broken, Unreachable):
                    status = -1
        now = time.perf_counter()
        answers.append(Answer(status, now - begun, now - due))

    async with asyncio.TaskGroup() as group:
        for at in arrivals(rate, seconds, 1, seed=0):
            await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
            group.create_task(one(begun + at))
    pool.close()
    return answers


def overload(one: Running, jpeg: bytes, options: argparse.Namespace) -> Iterator[Trial]:
    request = raw_request(one.server.paths[RAW], jpeg)
    asyncio.run(drive(one.port, request, CALLERS, 3))  # warm
    load = asyncio.run(drive(one.port, request, CALLERS, options.seconds))
    saturation = load.answered / load.seconds
    for factor in options.factors:
        before = sum(map(resident_mb, family(one.tree.process.pid)))
        answers = asyncio.run(trial(one.port, request, factor * saturation, options.seconds))
        growth = sum(map(resident_mb, family(one.tree.process.pid))) - before
        yield Trial(factor, saturation, options.seconds, 0.4 * options.seconds, answers, growth)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.overload_bench", description=__doc__)
    add = parser.add_argument
    add("--model", default="demo", help="a folder of model_repository")
    add("--repository", type=Path, default=ROOT / "model_repository")
    add("--picture", required=True, type=Path, help="a JPEG")
    add("--seconds", type=float, default=25, help="of each trial (default: %(default)s)")
    add("--factors", type=float, nargs="+", default=[1, 2, 4, 8], help="(default: 1 2 4 8)")
    add("--servers", nargs="+", default=[s.name for s in SERVERS if s.name != FLOOR])
    options = parser.parse_args(arguments)
    servers = [server for server in SERVERS if server.name in options.servers]
    base = options.repository.resolve() / options.model
    if not base.is_dir():
        sys.exit(f"{base} is no model: `make model` makes one, `make run` the bundled one")
    try:
        jpeg = options.picture.read_bytes()
    except OSError as error:
        sys.exit(f"--picture {options.picture}: {error.strerror}")
    install(servers)
    with model_server(base) as backend:
        for server in servers:
            with running(server, backend, jpeg) as one:
                wait_until_it_answers(one)
                for found in overload(one, jpeg, options):
                    if found.factor == options.factors[0]:
                        print(f"\n{server.name}: {found.saturation:.2f} images/s saturated\n{HEAD}")
                    print(f"| {server.name} | {found.row()} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
