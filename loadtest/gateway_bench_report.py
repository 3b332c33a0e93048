"""Windows of load as rows: medians over the rounds, and what a reader needs to judge them."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from .gateway_bench_client import Load, percentile
from .gateway_bench_servers import FLOOR, OWN, ROOT, UPLOADS

BAR = 0.5  # of the better peer's CPU per request


@dataclass(frozen=True)
class Window:
    """One server under one kind of upload, once."""

    requests: int
    cpu_ms: float  # user + system of its whole process tree, per answered request
    requests_per_s: float
    p50_ms: float
    p99_ms: float


def window(load: Load, cpu_s: float) -> Window:
    return Window(
        load.answered,
        cpu_s * 1000 / load.answered,
        load.answered / load.seconds,
        percentile(load.latencies_s, 0.50) * 1000,
        percentile(load.latencies_s, 0.99) * 1000,
    )


Cells = Mapping[tuple[str, str], Sequence[Window]]  # (server, upload) -> one window a round


@dataclass(frozen=True)
class Row:
    """`ratio`: CPU per request against our gateway's in the same round, median over the rounds."""

    server: str
    upload: str
    requests: int
    cpu_ms: float
    ratio: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float


def rows(cells: Cells) -> list[Row]:
    found = []
    for (server, upload), windows in cells.items():
        ours = cells[OWN, upload]
        found.append(
            Row(
                server,
                upload,
                sum(w.requests for w in windows),
                median(w.cpu_ms for w in windows),
                median(w.cpu_ms / o.cpu_ms for w, o in zip(windows, ours, strict=True)),
                median(w.requests_per_s for w in windows),
                median(w.p50_ms for w in windows),
                median(w.p99_ms for w in windows),
            )
        )
    return sorted(found, key=lambda row: UPLOADS.index(row.upload))


def table(found: Sequence[Row]) -> str:
    lines = [
        "| server | upload | CPU ms/request | x ours | requests/s | p50 ms | p99 ms |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.server} | {r.upload} | {r.cpu_ms:.3f} | {r.ratio:.2f} | {r.requests_per_s:.0f}"
        f" | {r.p50_ms:.2f} | {r.p99_ms:.2f} |"
        for r in found
    ]
    return "\n".join(lines)


def verdicts(found: Sequence[Row]) -> list[str]:
    """Our CPU against the better peer's and the floor's, per kind of upload."""
    lines = []
    for upload in UPLOADS:
        ratios = {row.server: row.ratio for row in found if row.upload == upload}
        peers = {name: ratio for name, ratio in ratios.items() if name not in (OWN, FLOOR)}
        if peers:
            best = min(peers, key=lambda name: peers[name])
            share = 1 / peers[best]
            met = "met" if share <= BAR else "MISSED"
            lines.append(f"{upload}: {share:.2f} of {best}'s CPU; the bar of {BAR} is {met}.")
        if FLOOR in ratios:
            lines.append(f"{upload}: {1 / ratios[FLOOR]:.2f} times the {FLOOR}'s CPU.")
    return lines


def environment() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "loadtest.gateway_bench", *sys.argv[1:]]),
        "commit": _commit(),
        "cpu": _cpu(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _commit() -> str:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def as_json(found: Sequence[Row], cells: Cells, surroundings: Mapping[str, Any]) -> dict[str, Any]:
    windows = [
        {"server": server, "upload": upload, "windows": [asdict(w) for w in each]}
        for (server, upload), each in cells.items()
    ]
    return {**surroundings, "rows": [asdict(row) for row in found], "rounds": windows}
