"""JSON lines (one picture a line) and CSV (one detection a line)."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import TextIO

from ..journal import Row
from .base import Writer, replace

ANSWER = ("file", "model", "image", "detections")
COLUMNS = (
    "file",
    "width",
    "height",
    "label",
    "class_id",
    "score",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
)


class JsonLines(Writer):
    """The service's JSON object with the picture's name as `file`."""

    def finish(self, rows: Sequence[Row]) -> None:
        def write(file: TextIO) -> None:
            for row in rows:
                answer = {name: row[name] for name in ANSWER}
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")

        replace(self.out, write)


class Csv(Writer):
    """RFC 4180 with a header; boxes in pixels. A picture without detections has no line."""

    def finish(self, rows: Sequence[Row]) -> None:
        def write(file: TextIO) -> None:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for row in rows:
                size = (row["image"]["width"], row["image"]["height"])
                for d in row["detections"]:
                    found = (d["label"], d["class_id"], d["score"], *d["box"].values())
                    table.writerow((row["file"], *size, *found))

        replace(self.out, write)
