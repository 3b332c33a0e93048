"""A small set of pictures with COCO annotations, and pycocotools' own metrics for it."""

import contextlib
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from loadtest.__main__ import main
from tests.support.fakes.fake_service import Row

CATEGORIES = {1: "person", 3: "car", 18: "dog", 63: "couch", 90: "toothbrush"}


class Set:
    """Pictures in a directory and random objects on them, as a COCO annotation file."""

    def __init__(self, folder: Path, pictures: int = 12) -> None:
        self.folder = folder
        self.out = folder / "out"
        numbers = random.Random(7)
        self.objects: list[dict[str, Any]] = []
        self.images = []
        for image_id in range(100, 100 + pictures):
            name = f"{image_id}.jpg"
            (folder / name).write_bytes(b"picture %d" % image_id)
            self.images.append({"id": image_id, "file_name": name, "width": 640, "height": 480})
            for category in (1, 3, 18, 63):
                x, y = numbers.randrange(400), numbers.randrange(300)
                side = numbers.choice([20, 60, 150])  # small, medium, large
                self.objects.append(
                    {
                        "id": len(self.objects),  # ids start at 0, as those of some tools
                        "image_id": image_id,
                        "category_id": category,
                        "bbox": [x, y, side, side + 10],
                        "area": side * (side + 10),
                        "iscrowd": 0,
                    }
                )
        self.write()

    def write(self) -> None:
        categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
        content = {"images": self.images, "categories": categories, "annotations": self.objects}
        (self.folder / "instances.json").write_text(json.dumps(content))

    def rows(self, data: bytes, shift: float = 0) -> list[Row]:
        """Detections exactly on the objects, or shifted by `shift` of their width."""
        image_id = int(data.split()[1])
        rows = []
        for o in self.objects:
            if o["image_id"] == image_id:
                x, y, width, height = o["bbox"]
                x += round(shift * width, 2)
                name = CATEGORIES[o["category_id"]]
                rows.append((name, 0.9 - o["id"] / 1000, (x, y, x + width, y + height)))
        return rows

    def run(self, url: str, *more: str) -> int:
        return main([*self.arguments(url), *more])

    def arguments(self, url: str) -> list[str]:
        return [
            *("accuracy", "--url", url, "--images", str(self.folder), "--out", str(self.out)),
            *("--annotations", str(self.folder / "instances.json"), "--patience", "0.5"),
        ]

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.out / "accuracy.json").read_text())
        return report


def by_pycocotools(coco: Set, categories: Sequence[int] | None = None) -> list[float]:
    """COCO's twelve metrics of detections.json, computed by pycocotools directly."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(coco.folder / "instances.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(coco.out / "detections.json")), "bbox")
        if categories:
            evaluation.params.catIds = list(categories)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(number) for number in evaluation.stats]
