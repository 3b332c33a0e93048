"""Annotations in COCO's format: pictures, objects, and which category a label means."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .stopped import Stopped

# What Pascal VOC, and so Darknet's coco.names, calls what COCO's annotations call otherwise.
SYNONYMS = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


class Picture(NamedTuple):
    """Size in pixels, as the annotations say."""

    id: int
    path: Path
    width: int
    height: int

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise Stopped(f"cannot read {self.path}: {error.strerror}") from error


@dataclass(frozen=True)
class Annotations:
    sha256: str
    pictures: list[Picture]
    categories: dict[int, str]  # id -> name
    objects: list[dict[str, Any]]  # of these pictures only

    def category(self, label: str) -> int | None:
        """The id of the category a model's label means; its very name before a synonym."""
        for same in (str, _key):
            for number, name in self.categories.items():
                if same(name) == same(label):
                    return number
        return None

    def counts(self) -> Counter[int]:
        """Category id -> objects that a detection must find; crowds are none."""
        return Counter(o["category_id"] for o in self.objects if not o["iscrowd"])


def _key(name: str) -> str:
    folded = name.strip().casefold()
    return SYNONYMS.get(folded, folded)


def read_annotations(path: Path, images: Path, limit: int | None) -> Annotations:
    """The first `limit` pictures, or all. Stopped where a file is missing or makes no sense."""
    try:
        data = path.read_bytes()
        found = json.loads(data)
        pictures = [
            Picture(i["id"], images / i["file_name"], i["width"], i["height"])
            for i in found["images"]
        ][:limit]
        chosen = {picture.id for picture in pictures}
        categories = {c["id"]: str(c["name"]) for c in found["categories"]}
        # Numbered anew: to pycocotools an object with the id 0 is one that nothing has found.
        objects = [
            {
                "id": number,
                "image_id": o["image_id"],
                "category_id": o["category_id"],
                "bbox": o["bbox"],
                "area": o.get("area", o["bbox"][2] * o["bbox"][3]),
                "iscrowd": o.get("iscrowd", 0),
            }
            for number, o in enumerate(found["annotations"], 1)
            if o["image_id"] in chosen
        ]
    except OSError as error:
        raise Stopped(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Stopped(f"{path} is not in COCO's format: {error!r}") from error
    if not objects:
        raise Stopped(f"{path} annotates no object in {len(pictures)} pictures")
    if len(chosen) < len(pictures) or len(set(categories.values())) < len(categories):
        raise Stopped(f"{path} has a picture's id or a category's name twice")
    missing = [picture.path for picture in pictures if not picture.path.is_file()]
    if missing:
        raise Stopped(
            f"{len(missing)} of {len(pictures)} pictures are not in {images}, such as {missing[0]}"
        )
    return Annotations(hashlib.sha256(data).hexdigest(), pictures, categories, objects)
