"""`run.json`: one file that says all of a run, for `report` and for a person."""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from . import host
from .caller import Model
from .histogram import Histogram
from .picture_folder import Pictures
from .stopped import Stopped
from .windows import Tally, summary

SCHEMA = 1


class RunFile:
    """`start` says of what the run is, and `write`, as often as one likes, what it saw."""

    def __init__(self, kind: str, options: argparse.Namespace) -> None:
        self.kind = kind
        if options.out is None:
            options.out = Path("runs") / time.strftime(f"{kind}-%Y%m%d-%H%M%S", time.gmtime())
        self.path: Path = options.out / "run.json"
        if options.out.exists() and not options.out.is_dir():
            raise Stopped(f"--out {options.out} is no folder")
        if self.path.exists():
            raise Stopped(f"{self.path} holds a run already: choose another --out, or remove it")
        self._options = options
        self._about: dict[str, Any] = {}

    def start(self, model: Model, pictures: Pictures) -> None:
        """Stopped where the file cannot be written: better known before the run than after."""
        options = self._options
        settings = {k: v for k, v in vars(options).items() if k not in ("run", "command")}
        self._about = {
            "schema": SCHEMA,
            "kind": self.kind,
            "command": options.command,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": _commit(),
            "ended": "interrupted",
            "label": options.label or model.name,
            "host": host.describe(),
            "target": {
                "url": options.url,
                "model": model.name,
                "version": model.version,
                "precision": options.precision_note,
            },
            "settings": {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()},
            "seed": options.seed,
            "pictures": {"count": len(pictures.paths), "sha256": pictures.sha256},
        }
        nothing = Tally()
        self.write("interrupted", [], nothing.histogram, summary(nothing, 0.0, None, 0))

    def write(
        self,
        ended: str,
        windows: list[dict[str, Any]],
        histogram: Histogram,
        summary: dict[str, Any],
        search: list[dict[str, Any]] | None = None,
        accuracy: dict[str, Any] | None = None,
    ) -> None:
        """Whole or not at all: whoever kills the run finds the file as it was last written."""
        content = {
            **self._about,
            "ended": ended,
            "windows": windows,
            "histogram": histogram.as_json(),
            "search": search or [],
            "summary": summary,
            "accuracy": accuracy,
        }
        part = self.path.with_name("run.json.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            os.replace(part, self.path)
        except OSError as error:
            raise Stopped(f"cannot write {self.path}: {error.strerror}") from error


def _commit() -> str | None:
    """Of this tool, where it is run from a clone."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
