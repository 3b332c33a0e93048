"""How long an event loop stalls: a 10 ms ticker, in the gateway's loop or in one of its own.

    python -m tests.support.processes.ticker FILE [gateway]

FILE gets 8 bytes for each tick: the seconds by which it came late, without those for which a thread
of the process (the loop's, or one that held the GIL) waited for a core: that is other processes'
doing.
"""

import asyncio
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvloop

from tests.support.project import ROOT

INTERVAL_S = 0.01
MODULE = "tests.support.processes.ticker"


async def tick(file: Path) -> None:
    ticks = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        before, waited_s = time.perf_counter(), _waited_s()
        await asyncio.sleep(INTERVAL_S)
        late_s = time.perf_counter() - before - INTERVAL_S
        after = _waited_s()
        noise_s = max(after[thread] - waited_s.get(thread, 0.0) for thread in after)
        os.write(ticks, struct.pack("d", late_s - noise_s))


def _waited_s() -> dict[str, float]:
    """Time that each thread has waited for a core; Documentation/scheduler/sched-stats.rst."""
    waited = {}
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{thread}/schedstat") as statistics:
            waited[thread] = int(statistics.read().split()[1]) / 1e9
    return waited


def stalls(file: Path) -> list[float]:
    """Seconds, one for each tick so far, shortest first."""
    content = file.read_bytes()
    return sorted(struct.unpack(f"{len(content) // 8}d", content[: len(content) // 8 * 8]))


def p999(stalls: list[float]) -> float:
    assert len(stalls) >= 1000, "too few ticks for P99.9"
    return stalls[int(len(stalls) * 0.999)]


@contextmanager
def control(file: Path) -> Iterator[None]:
    """A ticker in a process that does nothing else."""
    with subprocess.Popen([sys.executable, "-m", MODULE, str(file)], cwd=ROOT) as process:
        try:
            yield
        finally:
            process.terminate()


def run_gateway(file: Path) -> int:
    from service import __main__ as gateway

    startup = gateway.Server.startup
    tasks = []

    async def watched(server: gateway.Server, **arguments: Any) -> None:
        await startup(server, **arguments)
        tasks.append(asyncio.create_task(tick(file)))

    gateway.Server.startup = watched  # type: ignore[method-assign, assignment]
    return gateway.main([])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    sys.exit(run_gateway(path) if sys.argv[2:] == ["gateway"] else uvloop.run(tick(path)))
