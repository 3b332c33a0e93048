"""Output formats of a folder run, a file each; `writer` picks one by name or by ending."""

from __future__ import annotations

from pathlib import Path

from ..options import Options, Stop
from .base import Writer
from .coco import Coco
from .label_studio import LabelStudio
from .pictures import Pictures
from .tables import Csv, JsonLines
from .yolo import Yolo

FORMATS: dict[str, type[Writer]] = {
    "coco": Coco,
    "csv": Csv,
    "jsonl": JsonLines,
    "label-studio": LabelStudio,
    "pictures": Pictures,
    "yolo": Yolo,
}
NAMES = tuple(FORMATS)
BY_ENDING = {".json": "coco", ".csv": "csv", ".jsonl": "jsonl", "": "pictures"}


def writer(out: Path, options: Options) -> Writer:
    name = options.format or BY_ENDING.get(out.suffix.lower())
    if name is None:
        raise Stop(f"{out}: the ending says no format; add --format {'|'.join(NAMES)}")
    if options.annotations and name != "coco":
        raise Stop(f"--annotations is for --format coco, not {name}")
    return FORMATS[name](out, Path(options.source), options)


__all__ = ["NAMES", "Writer", "writer"]
