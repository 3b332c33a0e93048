"""What every output format does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from ...results import Result
from ..journal import Row
from ..options import Options


class Writer:
    """One output format. `out` is a file, or a folder where the format is one file a picture."""

    def __init__(self, out: Path, source: Path, options: Options) -> None:
        self.out = out
        self.source = source
        self.options = options

    def check(self, files: Sequence[str]) -> None:
        """Raises Stop, before anything is sent, where these pictures cannot be written so."""

    def picture(self, file: str, result: Result) -> None:
        """Called once a picture has been answered, before it is recorded as finished."""

    def finish(self, rows: Sequence[Row]) -> None:
        """Writes the output from all answered pictures, sorted by name."""


def replace(path: Path, write: Callable[[TextIO], object]) -> None:
    """Writes a file so that it is either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        write(file)
    os.replace(part, path)
