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
from yolov4.export.saved_model import NOT_FINITE, SIGNATURE, servable
from yolov4.network.model import Model
from yolov4.verify.average_precision import Outputs, average_precision, read_annotations
from yolov4.verify.categories import Match, match

Array: TypeAlias = npt.NDArray[Any]

SCORE = 0.25  # what the service shows unless asked otherwise
IOU = 0.5  # from which two boxes are the same


@dataclass
class Report:
    pictures: int = 0
    heads: list[list[float]] = field(default_factory=list)  # per picture, per head: see `differ`
    shown: int = 0  # detections of float32 with at least SCORE
    found: int = 0  # of these, in the artefact too: same class, IoU of at least IOU
    extra: int = 0  # the artefact's detections with at least SCORE that float32 has not got
    ious: list[float] = field(default_factory=list)  # of these with their like
    scores: list[float] = field(default_factory=list)  # and by how much their scores differ
    average_precision: tuple[float, float] | None = None  # COCO's AP of float32 and the artefact
    categories: Match | None = None  # which of them AP is about

    def __str__(self) -> str:
        heads = ", ".join(f"{worst:.2%}" for worst in np.max(self.heads, axis=0))
        lines = [
            f"{self.pictures} pictures, compared with float32:",
            f"heads: at most {heads} of the largest number",
            f"detections with score >= {SCORE}: {self.found} of {self.shown} found again, "
            f"{self.extra} extra",
        ]
        if self.found:
            lines.append(
                f"  IoU {np.mean(self.ious):.4f}, at worst {min(self.ious):.4f}; "
                f"score off by {np.mean(self.scores):.4f}, at worst {max(self.scores):.4f}"
            )
        if self.average_precision:
            before, after = self.average_precision
            lines.append(f"AP {after:.4f}, of float32 {before:.4f}: {after - before:+.4f}")
        if self.categories:
            for about, names in (
                ("categories the model lacks, excluded from AP", self.categories.excluded),
                ("labels without a category, ignored", self.categories.ignored),
            ):
                lines += [f"{about}: {', '.join(names)}"] if names else []
        return "\n".join(lines)


def verify(
    model: Model,
    artefact: Path,
    pictures: Sequence[Path],
    annotations: Path | None = None,
) -> Report:
    """Run both on every picture; with COCO annotations, AP of both on the annotated pictures.

    artefact: a SavedModel's directory. ModelError if its heads are not this network's, or a picture
    cannot be read or is missing.
    """
    report = Report()
    truth = read_annotations(annotations) if annotations else None
    if truth:
        missing = {p["file_name"] for p in truth.pictures} - {path.name for path in pictures}
        if missing:
            raise ModelError(
                f"{len(missing)} of {len(truth.pictures)} annotated pictures are missing, such as "
                f"{min(missing)}"
            )
    answers: tuple[dict[str, Outputs], dict[str, Outputs]] = ({}, {})
    with _reference(model) as reference, _loaded(artefact) as other:
        for path in pictures:
            try:
                picture = path.read_bytes()
                (heads, wanted), (their_heads, found) = reference(picture), other(picture)
            except OSError as error:
                raise ModelError(f"cannot read {path}: {error.strerror}") from error
            except tf.errors.InvalidArgumentError as error:
                if NOT_FINITE in str(error):
                    raise ModelError(f"{path}: {NOT_FINITE}") from error
                raise ModelError(f"{path} is not a picture that can be decoded") from error
            if [head.shape for head in heads] != [head.shape for head in their_heads]:
                raise ModelError(f"{artefact} is of another network, or of another input size")
            report.pictures += 1
            report.heads.append([differ(*both) for both in zip(heads, their_heads, strict=True)])
            _compare(report, wanted, found)
            answers[0][path.name], answers[1][path.name] = wanted, found
    if truth:
        before, after = (average_precision(truth, model.names, one).ap for one in answers)
        report.average_precision = before, after
        report.categories = match(model.names, truth.categories)
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
    names = [
        op.name for op in graph.get_operations() if re.search(r"body/[a-z]+_\d+/head$", op.name)
    ]
    return [graph.get_tensor_by_name(f"{name}:0") for name in names]


def _compare(report: Report, wanted: Outputs, found: Outputs) -> None:
    for box, class_id in _shown(found, "boxes", "classes"):
        like = (wanted["classes"][0] == class_id) & (wanted["scores"][0] > 0)
        ious = _iou(box, wanted["boxes"][0][like])
        report.extra += not (ious >= IOU).any()
    for box, score, class_id in _shown(wanted, "boxes", "scores", "classes"):
        report.shown += 1
        like = (found["classes"][0] == class_id) & (found["scores"][0] > 0)
        if not like.any():
            continue
        ious = _iou(box, found["boxes"][0][like])
        best = int(np.argmax(ious))
        if ious[best] >= IOU:
            report.found += 1
            report.ious.append(float(ious[best]))
            report.scores.append(float(abs(found["scores"][0][like][best] - score)))


def _shown(outputs: Outputs, *keys: str) -> Iterator[tuple[Any, ...]]:
    """The rows of these outputs whose score is at least SCORE."""
    shown = outputs["scores"][0] >= SCORE
    return zip(*(outputs[key][0][shown] for key in keys), strict=True)


def _iou(box: Array, boxes: Array) -> Array:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(both / (areas - both))
