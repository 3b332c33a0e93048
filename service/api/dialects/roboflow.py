"""Roboflow's response, as `supervision.Detections.from_inference` reads it.

https://github.com/roboflow/inference, entities/responses/inference.py: `x` and `y` are the centre.
"""

from typing import Any
from uuid import uuid4

from ...detection.models import Result
from ...detection.timings import Timings
from .labels import coco_label


def response(inference_id: str, result: Result, timings: Timings) -> dict[str, Any]:
    """`time` is in seconds, boxes are in pixels of the picture as shown."""
    predictions = []
    for d in result.detections:
        x_min, y_min, x_max, y_max = d.box
        predictions.append(
            {
                "x": (x_min + x_max) / 2,
                "y": (y_min + y_max) / 2,
                "width": x_max - x_min,
                "height": y_max - y_min,
                "confidence": d.score,
                "class": coco_label(d.label),
                "class_id": d.class_id,
                "detection_id": str(uuid4()),
            }
        )
    return {
        "inference_id": inference_id,
        "time": timings.get("backend", 0.0),
        "image": {"width": result.width, "height": result.height},
        "predictions": predictions,
    }
