"""A run's result as a person reads it on a terminal."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .caller import Model
from .windows import Tally


def tell(model: Model, tally: Tally, summary: Mapping[str, Any], path: Path) -> None:
    latency = summary["latency_ms"]
    print(
        f"{model}: {summary['images']} pictures in {summary['seconds']:.1f} s,"
        f" {summary['images_per_s']:.2f} images/s"
    )
    named = (f"{name} {milliseconds(value)}" for name, value in latency.items())
    print(f"latency of a request: {', '.join(named)}")
    if summary["variation_percent"] is not None:
        print(f"images/s of windows vary by {summary['variation_percent']:.1f} % (max - min)")
    if summary["restarts_seen"]:
        print(f"times the service went away and came back: {summary['restarts_seen']}")
    print(f"written: {path}")
    if summary["errors"]:
        failed = tally.errors.total()
        sentence = f"{failed} of {tally.sent} pictures failed ({errors(summary['errors'])})"
        sys.stdout.flush()
        print(f"warning: {sentence}", file=sys.stderr)


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def errors(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in kinds.items())
