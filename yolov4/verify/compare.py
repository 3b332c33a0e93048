"""A float32 graph beside an artefact made from the same weights: heads first, then detections.

What a lower precision or a compiler changes shows in the heads, in what is detected, and, where the
pictures are annotated, in AP.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.export.saved_model import SIGNATURE, servable
from yolov4.network.model import Model
from yolov4.verify.average_precision import Outputs, average_precision

Array: TypeAlias = npt.NDArray[Any]

SCORE = 0.25  # what the service shows unless asked otherwise
IOU = 0.5  # from which two boxes are the same


@dataclass
class Report:
    pictures: int = 0
    heads: list[list[float]] = field(default_factory=list)  # per picture, per head: see `differ`
    shown: int = 0  # detections of float32 with at least SCORE
    found: int = 0  # of these, in the artefact too: same class, IoU of at least IOU
    ious: list[float] = field(default_factory=list)  # of these with their like
    scores: list[float] = field(default_factory=list)  # and by how much their scores differ
    average_precision: tuple[float, float] | None = None  # COCO's AP of float32 and the artefact

    def __str__(self) -> str:
        heads = ", ".join(f"{worst:.2%}" for worst in np.max(self.heads, axis=0))
        lines = [
            f"{self.pictures} pictures, the artefact beside float32:",
            f"heads: at most {heads} of the largest number",
            f"detections with score >= {SCORE}: {self.found} of {self.shown} found again",
        ]
        if self.found:
            lines.append(
                f"  IoU {np.mean(self.ious):.4f}, at worst {min(self.ious):.4f}; "
                f"score off by {np.mean(self.scores):.4f}, at worst {max(self.scores):.4f}"
            )
        if self.average_precision:
            before, after = self.average_precision
            lines.append(f"AP {after:.4f}, of float32 {before:.4f}: {after - before:+.4f}")
        return "\n".join(lines)


def verify(
    model: Model,
    artefact: Path,
    pictures: Sequence[Path],
    annotations: Path | None = None,
) -> Report:
    """Run both on every picture; with COCO's annotations of them, AP too.

    artefact: a SavedModel's directory. ModelError if it has not this network's heads, or a picture
    cannot be read.
    """
    report = Report()
    answers: tuple[list[Outputs], list[Outputs]] = ([], [])
    with _reference(model) as reference, _loaded(artefact) as other:
        for path in pictures:
            try:
                picture = path.read_bytes()
                (heads, wanted), (their_heads, found) = reference(picture), other(picture)
            except OSError as error:
                raise ModelError(f"cannot read {path}: {error.strerror}") from error
            except tf.errors.InvalidArgumentError as error:
                raise ModelError(f"{path} is not a picture that can be decoded") from error
            if [head.shape for head in heads] != [head.shape for head in their_heads]:
                raise ModelError(f"{artefact} is of another network, or of another input size")
            report.pictures += 1
            report.heads.append([differ(*both) for both in zip(heads, their_heads, strict=True)])
            _compare(report, wanted, found)
            answers[0].append(wanted)
            answers[1].append(found)
    if annotations:
        before, after = (
            average_precision(annotations, model.names, pictures, one) for one in answers
        )
        report.average_precision = before, after
    return report


def differ(wanted: Array, found: Array) -> float:
    """The largest difference as a share of the largest number: scale-free, and 0 for the same."""
    wanted, found = wanted.astype(np.float32), found.astype(np.float32)
    return float(np.abs(wanted - found).max() / np.abs(wanted).max())


Run: TypeAlias = Any  # bytes -> (heads, outputs)


@contextlib.contextmanager
def _reference(model: Model) -> Iterator[Run]:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        image = v1.placeholder(tf.string, [None])
        outputs = servable(model, image)
        yield lambda picture: session.run((_heads(graph), outputs), {image: [picture]})


@contextlib.contextmanager
def _loaded(artefact: Path) -> Iterator[Run]:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        try:
            loaded = v1.saved_model.load(session, ["serve"], str(artefact))
        except (OSError, RuntimeError) as error:
            raise ModelError(f"{artefact} is not a SavedModel to serve: {error}") from error
        signature = loaded.signature_def[SIGNATURE]
        outputs = {key: info.name for key, info in signature.outputs.items()}
        image = signature.inputs["image"].name
        yield lambda picture: session.run((_heads(graph), outputs), {image: [picture]})


def _heads(graph: tf.Graph) -> list[Any]:
    names = [op.name for op in graph.get_operations() if re.search(r"body/yolo_\d+/head$", op.name)]
    return [graph.get_tensor_by_name(f"{name}:0") for name in names]


def _compare(report: Report, wanted: Outputs, found: Outputs) -> None:
    shown = wanted["scores"][0] >= SCORE
    report.shown += int(shown.sum())
    for box, score, class_id in zip(
        *(wanted[key][0][shown] for key in ("boxes", "scores", "classes")), strict=True
    ):
        like = (found["classes"][0] == class_id) & (found["scores"][0] > 0)
        if not like.any():
            continue
        ious = _iou(box, found["boxes"][0][like])
        best = int(np.argmax(ious))
        if ious[best] >= IOU:
            report.found += 1
            report.ious.append(float(ious[best]))
            report.scores.append(float(abs(found["scores"][0][like][best] - score)))


def _iou(box: Array, boxes: Array) -> Array:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(both / (areas - both))
