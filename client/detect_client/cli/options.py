"""The parsed command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


class Stop(Exception):
    """Ends the command with one sentence and status 1."""


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

    def query(self) -> dict[str, Any]:
        """Arguments of the client's calls."""
        return {
            "score_threshold": self.score_threshold,
            "max_detections": self.max_detections,
            "labels": self.label,
        }
