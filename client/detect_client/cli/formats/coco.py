"""COCO: a results file where the annotations are given, else a data set of its own.

https://cocodataset.org/#format-results. Ids of pictures and categories are the annotation file's:
COCO's own categories are 1 to 90 with gaps, so that numbering them by class would score nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...results import from_json
from ..journal import Row
from ..options import Stop
from .base import Writer, replace
from .labels import canonical


class Coco(Writer):
    def check(self, files: Sequence[str]) -> None:
        self._ids: dict[str, int] = {}
        self._categories: dict[str, int] = {}
        if self.options.annotations is None:
            return
        try:
            annotations = json.loads(self.options.annotations.read_text())
            self._ids = {image["file_name"]: image["id"] for image in annotations["images"]}
            categories = annotations["categories"]
            self._categories = {canonical(c["name"]): c["id"] for c in categories}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Stop(
                f"{self.options.annotations} is not a COCO annotation file: {error}"
            ) from error
        missing = [file for file in files if file not in self._ids]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise Stop(f"{self.options.annotations} does not list {missing[0]}{more}")

    def finish(self, rows: Sequence[Row]) -> None:
        content = self._data_set(rows) if self.options.annotations is None else self._results(rows)
        replace(self.out, lambda file: json.dump(content, file, ensure_ascii=False))

    def _results(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        found = [from_json(row) for row in rows]
        labels = {d.label for result in found for d in result.detections}
        ids = {label: self._categories.get(canonical(label)) for label in labels}
        known = {label: number for label, number in ids.items() if number is not None}
        return [
            line
            for row, result in zip(rows, found, strict=True)
            for line in result.to_coco(self._ids[row["file"]], known)
        ]

    def _data_set(self, rows: Sequence[Row]) -> dict[str, Any]:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        categories: dict[int, str] = {}
        for number, row in enumerate(rows, 1):
            image_id = row.get("id", number)
            images.append({"id": image_id, "file_name": row["file"], **row["image"]})
            result = from_json(row)
            categories |= {d.class_id + 1: d.label for d in result.detections}
            for line in result.to_coco(image_id):
                _, _, width, height = line["bbox"]
                more = {"id": len(annotations) + 1, "area": width * height, "iscrowd": 0}
                annotations.append(line | more)
        return {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": i, "name": categories[i]} for i in sorted(categories)],
        }
