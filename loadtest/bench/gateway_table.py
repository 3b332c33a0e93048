"""The gateway benchmark's table: medians over rounds, verdicts, and the environment."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from .. import host
from ..load import percentile
from .client import Load
from .servers import FLOOR, OWN, ROOT, UPLOADS

TARGET = 0.5  # of the better peer's CPU per request


@dataclass(frozen=True)
class Window:
    """One measurement of one server with one kind of upload."""

    requests: int
    cpu_ms: float  # user and system time of the process tree per answered request
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


Cells = Mapping[tuple[str, str], Sequence[Window]]  # (server, upload) -> one window per round


@dataclass(frozen=True)
class Row:
    """`ratio`: CPU per request relative to this gateway in the same round; median of the rounds."""

    server: str
    upload: str
    requests: int
    cpu_ms: float
    ratio: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float


def rows(cells: Cells) -> list[Row]:
    table = []
    for (server, upload), windows in cells.items():
        ours = cells[OWN, upload]
        table.append(
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
    return sorted(table, key=lambda row: UPLOADS.index(row.upload))


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| server | upload | CPU ms/request | relative | requests/s | p50 ms | p99 ms |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.server} | {r.upload} | {r.cpu_ms:.3f} | {r.ratio:.2f} | {r.requests_per_s:.0f}"
        f" | {r.p50_ms:.2f} | {r.p99_ms:.2f} |"
        for r in rows
    ]
    return "\n".join(lines)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """This gateway's CPU relative to the better peer and the floor, per kind of upload."""
    lines = []
    for upload in UPLOADS:
        ratios = {row.server: row.ratio for row in rows if row.upload == upload}
        peers = {name: ratio for name, ratio in ratios.items() if name not in (OWN, FLOOR)}
        if peers:
            best = min(peers, key=lambda name: peers[name])
            share = 1 / peers[best]
            met = "met" if share <= TARGET else "MISSED"
            lines.append(f"{upload}: {share:.2f} of {best}'s CPU; the target of {TARGET} is {met}.")
        if FLOOR in ratios:
            lines.append(f"{upload}: {1 / ratios[FLOOR]:.2f} times the {FLOOR}'s CPU.")
    return lines


def environment() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "loadtest.bench", *sys.argv[1:]]),
        "commit": _commit(),
        "cpu": f"{host.describe()['cores']} x {host.describe()['cpu']}",
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


def as_json(rows: Sequence[Row], cells: Cells, surroundings: Mapping[str, Any]) -> dict[str, Any]:
    windows = [
        {"server": server, "upload": upload, "windows": [asdict(w) for w in each]}
        for (server, upload), each in cells.items()
    ]
    return {**surroundings, "rows": [asdict(row) for row in rows], "rounds": windows}
