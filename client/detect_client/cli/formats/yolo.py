"""YOLO text files: a folder with one `.txt` a picture, and names in `classes.txt` and `data.yaml`.

Each line is `class x_center y_center width height confidence`: the class from 0, the rest 0 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import TextIO

from ...results import Result, from_json
from ..journal import Row
from ..options import Stop
from .base import Writer, replace


class Yolo(Writer):
    def check(self, files: Sequence[str]) -> None:
        seen: dict[str, str] = {}
        for file in files:
            other = seen.setdefault(_name(file), file)
            if other != file:
                raise Stop(f"{other} and {file} would both be {_name(file)}; rename one of them")

    def finish(self, rows: Sequence[Row]) -> None:
        labels: dict[int, str] = {}
        for row in rows:
            result = from_json(row)
            labels |= {d.class_id: d.label for d in result.detections}
            lines = _lines(result)
            replace(self.out / _name(row["file"]), partial(_write, lines=lines))
        # The service tells only the labels that it has found; the others keep their place.
        names = [labels.get(i, f"class_{i}") for i in range(max(labels, default=-1) + 1)]
        replace(self.out / "classes.txt", partial(_write, lines=[f"{name}\n" for name in names]))
        # JSON is YAML. Ultralytics' and supervision's readers take the names from this file.
        data = f"names: {json.dumps(names, ensure_ascii=False)}\n"
        replace(self.out / "data.yaml", partial(_write, lines=[data]))


def _name(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(".txt"))


def _write(file: TextIO, lines: Iterable[str]) -> None:
    file.writelines(lines)


def _lines(result: Result) -> list[str]:
    width, height = result.width, result.height
    return [
        f"{d.class_id} {(d.box.x_min + d.box.x_max) / 2 / width:.6f}"
        f" {(d.box.y_min + d.box.y_max) / 2 / height:.6f}"
        f" {d.box.width / width:.6f} {d.box.height / height:.6f} {d.score:.6f}\n"
        for d in result.detections
    ]
