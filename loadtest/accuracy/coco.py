"""COCO annotations: pictures, categories and objects."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .. import CommandError
from ..pictures import read_file


class Picture(NamedTuple):
    """Size in pixels, according to the annotations."""

    id: int
    path: Path
    width: int
    height: int

    def read(self) -> bytes:
        return read_file(self.path)


@dataclass(frozen=True)
class Annotations:
    sha256: str
    pictures: list[Picture]
    categories: dict[int, str]  # id -> name
    objects: list[dict[str, Any]]  # in these pictures

    def counts(self) -> Counter[int]:
        """Category id -> number of objects; crowd annotations excluded."""
        return Counter(o["category_id"] for o in self.objects if not o["iscrowd"])


def read_annotations(path: Path, images: Path, limit: int | None) -> Annotations:
    """The first `limit` pictures, or all. CommandError for missing and malformed files."""
    try:
        data = path.read_bytes()
        content = json.loads(data)
        pictures = [
            Picture(i["id"], images / i["file_name"], i["width"], i["height"])
            for i in content["images"]
        ][:limit]
        chosen = {picture.id for picture in pictures}
        categories = {c["id"]: str(c["name"]) for c in content["categories"]}
        # Renumbered: pycocotools takes an object with the id 0 for unmatched.
        objects = [
            {
                "id": number,
                "image_id": o["image_id"],
                "category_id": o["category_id"],
                "bbox": o["bbox"],
                "area": o.get("area", o["bbox"][2] * o["bbox"][3]),
                "iscrowd": o.get("iscrowd", 0),
            }
            for number, o in enumerate(content["annotations"], 1)
            if o["image_id"] in chosen
        ]
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CommandError(f"{path} is not a COCO annotation file: {error!r}") from error
    if not objects:
        raise CommandError(f"{path} has no objects in its {len(pictures)} pictures")
    if len(chosen) < len(pictures) or len(set(categories.values())) < len(categories):
        raise CommandError(f"{path} has duplicate picture ids or category names")
    missing = [picture.path for picture in pictures if not picture.path.is_file()]
    if missing:
        raise CommandError(
            f"{len(missing)} of {len(pictures)} pictures are missing from {images}, such as"
            f" {missing[0].name}"
        )
    return Annotations(hashlib.sha256(data).hexdigest(), pictures, categories, objects)
