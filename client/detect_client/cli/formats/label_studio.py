"""Label Studio: tasks with predictions, to import into a project.

https://labelstud.io/guide/predictions. The project's configuration needs
`<Image name="image" value="$image"/>` and `<RectangleLabels name="label" toName="image">`. Pictures
are named by Label Studio's local storage address, relative to its document root.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ...results import Detection, Result, from_json
from ..journal import Row
from .base import Writer, replace


class LabelStudio(Writer):
    def finish(self, rows: Sequence[Row]) -> None:
        folder = self.source.resolve().name
        tasks = []
        for row in rows:
            result = from_json(row)
            address = f"/data/local-files/?d={quote(f'{folder}/' + row['file'])}"
            prediction = {
                "model_version": f"{result.model}-{result.version}",
                "score": max((d.score for d in result.detections), default=0.0),
                "result": [_region(i, d, result) for i, d in enumerate(result.detections)],
            }
            tasks.append({"data": {"image": address}, "predictions": [prediction]})
        replace(self.out, lambda file: json.dump(tasks, file, ensure_ascii=False))


def _region(number: int, d: Detection, result: Result) -> dict[str, Any]:
    """Sides in per cent of the picture."""
    return {
        "id": f"d{number}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": result.width,
        "original_height": result.height,
        "image_rotation": 0,
        "score": d.score,
        "value": {
            "x": 100 * d.box.x_min / result.width,
            "y": 100 * d.box.y_min / result.height,
            "width": 100 * d.box.width / result.width,
            "height": 100 * d.box.height / result.height,
            "rotation": 0,
            "rectanglelabels": [d.label],
        },
    }
