"""A folder of JPEGs with the boxes drawn. Needs Pillow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from ...results import Result
from ..options import Stop
from .base import Writer


class Pictures(Writer):
    def check(self, files: Sequence[str]) -> None:
        if self.out.resolve() == self.source.resolve():
            raise Stop("--out is the folder of the pictures; they would be replaced")

    def picture(self, file: str, result: Result) -> None:
        path = self.out / PurePosixPath(
            file + ("" if file.lower().endswith((".jpg", ".jpeg")) else ".jpg")
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        result.draw().save(part, "JPEG", quality=90)
        os.replace(part, path)
