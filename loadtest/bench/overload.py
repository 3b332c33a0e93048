"""`make bench-overload MODEL=voc`: goodput of a server at multiples of its capacity.

This gateway, LitServe and BentoML in turn, each with the same embedded model server: the capacity
by a closed loop, then an open loop at multiples of it. A caller disconnects after DEADLINE_S.
Goodput is the share of the capacity, or of the requests if those are fewer, that was answered in
time, once the queues have filled.

The load generator has a core of its own and the servers have the others, so that its work, which
grows with the load, is not theirs.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc

from .. import CommandError
from ..client import Broken, Service, Unreachable
from ..load import ConnectionPool, arrivals, percentile
from .processes import background
from .running import NotUp, Running, free_port, running
from .servers import FLOOR, RAW, ROOT, SERVERS, install

DEADLINE_S = 10.0  # the gateway's own default, and BentoML's setting
MAX_CONNECTIONS = 4000
CALLERS = 4  # saturate the cores, and on a slow one are answered well within DEADLINE_S
START_TIMEOUT_S = 300


class Answer(NamedTuple):
    status: int  # 0: no response within DEADLINE_S; -1: connection lost
    at_s: float  # since the start of the trial
    latency_s: float  # since the scheduled time


class Trial(NamedTuple):
    """One row of the table, at `factor` times the capacity (`saturation`, images/s)."""

    factor: float
    saturation: float
    seconds: float
    fill_s: float
    answers: list[Answer]
    growth_mb: float  # of the server's resident memory, during the trial
    generator_busy: float  # share of the generator's core; near 1 the generator is the limit

    def row(self) -> str:
        good = [a for a in self.answers if a.status == 200 and a.latency_s <= DEADLINE_S]
        steady = sum(self.fill_s <= a.at_s < self.seconds for a in good)
        due = sum(self.fill_s <= a.at_s - a.latency_s < self.seconds for a in self.answers)
        # Arrivals are random: at 1x they may be fewer than the capacity.
        goodput = steady / min(self.saturation * (self.seconds - self.fill_s), due)
        refused = [a.latency_s for a in self.answers if a.status == 503]
        other = len(self.answers) - len(good) - len(refused)
        p99 = percentile([a.latency_s for a in good], 0.99) if good else float("nan")
        median = f"{1000 * statistics.median(refused):.0f} ms" if refused else "-"
        return (
            f"{self.factor:g}x | {len(self.answers)} | {goodput:.0%} | {len(good)} | {p99:.1f} s |"
            f" {len(refused)} | {median} | {other} | {self.growth_mb:+.0f} MB |"
            f" {self.generator_busy:.0%}"
        )


HEAD = (
    "| | offered | requests | goodput | answered in time | their P99 | refused |"
    " median time to refusal | late, failed | memory | generator |\n|" + 11 * "---|"
)


@contextlib.contextmanager
def model_server(base: Path) -> Iterator[str]:
    """The embedded model server with this model; yields its gRPC target."""
    port = free_port()
    command = [sys.executable, "-m", "service.model_server", f"--port={port}"]
    command += ["--model_name=yolov4", f"--model_base_path={base}"]  # the name the peers use
    with background(command, ROOT, stderr=subprocess.DEVNULL):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(START_TIMEOUT_S)
        yield f"127.0.0.1:{port}"


def wait_until_ready(server: Running) -> None:
    """The model server listens before a large model is loaded."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            server.answer(RAW)
            return
        except NotUp as error:
            if server.tree.ended() or time.monotonic() > deadline:
                raise CommandError(str(error)) from error


async def trial(service: Service, request: bytes, rate: float, seconds: float) -> list[Answer]:
    pool = ConnectionPool(service, MAX_CONNECTIONS)
    answers: list[Answer] = []
    started = time.perf_counter()

    async def send(due: float) -> None:
        status = 0
        with contextlib.suppress(TimeoutError):
            async with pool.connection() as connection:
                try:
                    left = due + DEADLINE_S - time.perf_counter()
                    status = (await connection.exchange(request, left)).status
                except (Broken, Unreachable):
                    status = -1
        now = time.perf_counter()
        answers.append(Answer(status, now - started, now - due))

    async with asyncio.TaskGroup() as group:
        for at in arrivals(rate, seconds, 1, seed=0):
            await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
            group.create_task(send(started + at))
    pool.close()
    return answers


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """This process, and those that it starts meanwhile, run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def overload(server: Running, options: argparse.Namespace) -> Iterator[Trial]:
    server.load(RAW, CALLERS, 3)  # warm-up
    load = server.load(RAW, CALLERS, options.seconds)
    saturation = load.answered / load.seconds
    for factor in options.factors:
        before, cpu_s = server.tree.resident_mb(), time.process_time()
        requests = trial(server.service, server.requests[RAW], factor * saturation, options.seconds)
        answers = asyncio.run(requests)
        growth = server.tree.resident_mb() - before
        busy = (time.process_time() - cpu_s) / options.seconds
        fill_s = 0.4 * options.seconds
        yield Trial(factor, saturation, options.seconds, fill_s, answers, growth, busy)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench overload", description=__doc__)
    add = parser.add_argument
    add("--model", default="demo", help="model in the repository")
    add("--repository", type=Path, default=ROOT / "model_repository")
    add("--picture", required=True, type=Path, help="JPEG to send")
    add("--seconds", type=float, default=25, help="length of a trial (default: %(default)s)")
    add(
        "--factors",
        type=float,
        nargs="+",
        default=[1, 2, 4, 8],
        help="multiples of the capacity (default: 1 2 4 8)",
    )
    add("--servers", nargs="+", default=[s.name for s in SERVERS if s.name != FLOOR])
    options = parser.parse_args(arguments)
    servers = [server for server in SERVERS if server.name in options.servers]
    base = options.repository.resolve() / options.model
    if not base.is_dir():
        raise CommandError(
            f"{base} is not a model: `make model` exports one, `make run` the default"
        )
    try:
        jpeg = options.picture.read_bytes()
    except OSError as error:
        raise CommandError(f"--picture {options.picture}: {error.strerror}") from error
    generator, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise CommandError("overload needs two cores, one of them for the load generator")
    install(servers)
    with pinned(set(others)), model_server(base) as backend:
        for server in servers:
            with running(server, backend, jpeg) as up, pinned({generator}):
                wait_until_ready(up)
                for result in overload(up, options):
                    if result.factor == options.factors[0]:
                        print(
                            f"\n{server.name}: {result.saturation:.2f} images/s saturated\n{HEAD}"
                        )
                    print(f"| {server.name} | {result.row()} |", flush=True)
    return 0
