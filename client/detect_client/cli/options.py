"""The parsed command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any


class Stop(Exception):
    """Ends the command with one sentence and status 1."""


def utf8(name: str) -> str:
    """A file's name that every format can hold. Raises Stop for one that is not UTF-8."""
    if name != name.encode(errors="replace").decode():
        raise Stop(f"{name!r}: the name is not UTF-8; rename the file")
    return name


class Options(argparse.Namespace):
    """What argparse fills in; see `main._parse` for each option's meaning."""

    source: str
    url: str
    key: str | None
    out: Path | None
    format: str | None
    score_threshold: float
    max_detections: int
    label: list[str]
    in_flight: int
    timeout_s: float
    annotations: Path | None
    fresh: bool
    every: int
    on: list[str]
    post: str | None
    cooldown_s: float
    output: str
    job: str
    shard_size: int
    max_bytes: int
    shard: tuple[int, int]
    workers: int | None
    rate: float | None
    engine: str
    ray_workers: int
    server: str | None
    model: str | None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None

    def query(self) -> dict[str, Any]:
        """Arguments of the client's calls."""
        return {
            "score_threshold": self.score_threshold,
            "max_detections": self.max_detections,
            "labels": self.label,
        }


def add_service(parser: argparse.ArgumentParser) -> None:
    """Where the service is, and how much it is asked at a time."""
    add = parser.add_argument
    add(
        "--url",
        default=os.environ.get("DETECT_URL", "http://localhost:8000"),
        help="service address (default: $DETECT_URL, else %(default)s)",
    )
    add(
        "--key",
        default=os.environ.get("DETECT_API_KEY"),
        help="API key; better given as $DETECT_API_KEY, which `ps` does not show",
    )
    add(
        "--in-flight",
        type=int,
        default=8,
        metavar="N",
        help="requests at a time (default: %(default)s)",
    )
    add(
        "--timeout",
        type=float,
        default=300.0,
        dest="timeout_s",
        metavar="S",
        help="seconds that one picture may take, retries included (default: %(default)s)",
    )


def add_query(parser: argparse.ArgumentParser) -> None:
    """Parameters of the detection."""
    add = parser.add_argument
    add(
        "--score-threshold",
        type=float,
        default=0.25,
        metavar="S",
        help="minimum confidence, 0 to 1 (default: %(default)s)",
    )
    add(
        "--max-detections",
        type=int,
        default=100,
        metavar="N",
        help="most detections of one picture, 1 to 100 (default: %(default)s)",
    )
    add("--label", action="append", default=[], help="only this label; may be repeated")
