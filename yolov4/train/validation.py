"""Validation: which pictures are held out, and the AP of weights on them."""

import hashlib
import importlib.util
from collections.abc import Set
from typing import Any

import numpy as np
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.graph.detect import Detections, detections
from yolov4.network.network import Network
from yolov4.train.checkpoint import Validated
from yolov4.train.data import Dataset
from yolov4.train.forward import forward
from yolov4.verify.average_precision import Annotations, Outputs, average_precision
from yolov4.verify.categories import match

BATCH = 8  # pictures


def hold_out(truth: Annotations, share: float, only: Set[str] = frozenset()) -> set[str]:
    """File names of the pictures for validation: this share of those that show an object.

    only: categories; empty for all. The choice depends on the names alone, so it stays the same
    from run to run, and nearly so when pictures are added. At least one picture is held out, and at
    least one is left, else ModelError.
    """
    wanted = {number for number, name in truth.categories.items() if not only or name in only}
    shown = {
        thing["image_id"]
        for thing in truth.objects
        if thing["category_id"] in wanted and not thing["iscrowd"]
    }
    files = {picture["file_name"] for picture in truth.pictures if picture["id"] in shown}
    if len(files) < 2:
        raise ModelError(
            f"{len(files)} annotated pictures show an object, too few to hold one out: give "
            "--val-annotations, or --validation 0 to do without"
        )
    ranked = sorted(files, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(ranked[: min(max(1, round(share * len(files))), len(files) - 1)])


class Validation:
    """AP of weights on a data set; `truth`: its annotation file."""

    def __init__(self, network: Network, data: Dataset, truth: Annotations, names: list[str]):
        if importlib.util.find_spec("pycocotools") is None:
            raise ModelError(
                "validation needs pycocotools: python -m pip install pycocotools, or give "
                "--validation 0 to do without"
            )
        if not match(names, truth.categories).matched:
            raise ModelError("the validation annotations have none of the classes to train")
        pictures = [p for p in truth.pictures if p["file_name"] in set(data.files)]
        numbers = {picture["id"] for picture in pictures}
        objects = [thing for thing in truth.objects if thing["image_id"] in numbers]
        self.data = data
        self._truth = Annotations(pictures, truth.categories, objects)
        self._names = names
        sizes = {
            picture["file_name"]: (picture["height"], picture["width"]) for picture in pictures
        }
        self._sizes = np.array([sizes[name] for name in data.files], np.int32)

        def predict(vector: Any, pixels: Any, sizes: Any) -> Detections:
            image = tf.cast(pixels, tf.float32) / 255.0
            return detections(network, forward(network, vector, image, training=False)[0], sizes)

        self._predict = tf.function(predict, autograph=False, reduce_retracing=True)

    def __call__(self, vector: Any, step: int) -> Validated:
        """vector: float32 [count_floats(network)]."""
        vector = tf.convert_to_tensor(vector)
        answers: dict[str, Outputs] = {}
        labels = np.array([name.encode() for name in self._names], object)
        for start in range(0, len(self.data.files), BATCH):
            part = slice(start, start + BATCH)
            rows = self._predict(vector, self.data.pixels[part], self._sizes[part])
            boxes, scores, classes, counts = (value.numpy() for value in rows)
            for i, name in enumerate(self.data.files[part]):
                answers[name] = {
                    "boxes": boxes[i : i + 1],
                    "scores": scores[i : i + 1],
                    "labels": labels[classes[i : i + 1]],
                    "num_detections": counts[i : i + 1],
                }
        scores = average_precision(self._truth, self._names, answers)
        return Validated(step, scores.ap, scores.ap50, scores.classes)
