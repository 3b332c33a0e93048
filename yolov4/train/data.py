"""Pictures and their boxes, from COCO's format to augmented batches.

The pictures are stretched once, by the preprocessing of the served model, and held in memory. A
batch depends only on the seed and the step, so resumed training sees the same batches.
"""

import hashlib
import json
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.graph.preprocess import preprocess
from yolov4.network.network import Network

Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

MOST_OBJECTS = 40  # per augmented picture; more are dropped
KEPT = 0.4  # minimum share of a box's area that remains after cropping
CORNER = 0.05  # share of its sides: objects of which less is visible may be cut


@dataclass
class Dataset:
    pixels: npt.NDArray[np.uint8]  # [pictures, height, width, 3], stretched to the network's input
    boxes: list[Floats]  # each [objects, 4] xyxy, fractions of the picture
    classes: list[npt.NDArray[np.int32]]  # each [objects], index into names
    names: list[str]
    files: list[str] = field(default_factory=list)  # of the pictures, as annotated
    fingerprint: str = ""  # SHA-256 of the files, boxes, classes, names and the size

    def objects(self) -> dict[str, int]:
        """How many objects each class has."""
        found = np.bincount(np.concatenate(self.classes), minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))


class Batch(NamedTuple):
    """Pictures and windows from which the training step crops a batch, and the batch's objects."""

    pixels: npt.NDArray[np.uint8]  # [P, height, width, 3]
    windows: Floats  # [P, 4] y1, x1, y2, x2, fractions; x2 < x1 mirrors
    gains: Floats  # [N, 1, 1, 3] factors of the colours
    boxes: Floats  # [N, MOST_OBJECTS, 4] cxcywh, fractions
    classes: npt.NDArray[np.int32]  # [N, MOST_OBJECTS], -1 for padding


def read_coco(
    annotations: Path,
    images: Path,
    width: int,
    height: int,
    only: Set[str] = frozenset(),
    files: Set[str] | None = None,
) -> Dataset:
    """Pictures with annotations in COCO's format, stretched to width x height pixels.

    Classes are the categories by ascending id, limited to `only` if it is not empty. Crowd
    annotations are excluded. `files`: only these of the pictures. Raises ModelError for missing or
    invalid files.
    """
    try:
        about = json.loads(annotations.read_text(encoding="utf-8"))
        categories = sorted(about["categories"], key=lambda category: category["id"])
        pictures = {picture["id"]: picture for picture in about["images"]}
        objects: dict[int, list[Any]] = {number: [] for number in pictures}
        if files is not None:
            pictures = {k: p for k, p in pictures.items() if p["file_name"] in files}
        for thing in about["annotations"]:
            if not thing.get("iscrowd", 0):
                objects[thing["image_id"]].append(thing)
    except OSError as error:
        raise ModelError(f"cannot read {annotations}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{annotations} is not in COCO's format: {error!r}") from error
    if only:
        missing = only - {category["name"] for category in categories}
        if missing:
            raise ModelError(f"{annotations} has no category {', '.join(sorted(missing))}")
        categories = [category for category in categories if category["name"] in only]
    index = {category["id"]: i for i, category in enumerate(categories)}
    if not pictures or not index:
        raise ModelError(f"{annotations} contains no pictures or no categories")

    stretched = Network(width, height, 3, ())  # in training always, without borders
    stretch = tf.function(
        lambda data: tf.cast(tf.round(preprocess(stretched, data[None])[0][0] * 255), tf.uint8),
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    pixels = np.empty((len(pictures), height, width, 3), np.uint8)
    boxes, classes = [], []
    names = [category["name"] for category in categories]
    digest = hashlib.sha256(json.dumps([width, height, names]).encode())
    for done, (number, picture) in enumerate(pictures.items()):
        path = images / picture["file_name"]
        try:
            encoded = path.read_bytes()
            pixels[done] = stretch(encoded)
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}") from error
        except tf.errors.InvalidArgumentError as error:
            raise ModelError(f"{path} is not a picture that can be decoded") from error
        mine = [thing for thing in objects[number] if thing["category_id"] in index]
        xywh = np.array([thing["bbox"] for thing in mine], np.float32).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        sides = np.array([picture["width"], picture["height"]] * 2, np.float32)
        boxes.append(np.clip(xyxy / sides, 0, 1).astype(np.float32))
        classes.append(np.array([index[thing["category_id"]] for thing in mine], np.int32))
        about = boxes[-1].tobytes(), classes[-1].tobytes()
        for part in (picture["file_name"].encode(), encoded, *about):
            digest.update(hashlib.sha256(part).digest())
    if not sum(map(len, boxes)):
        raise ModelError(f"{annotations} contains no objects of the {len(index)} categories")
    used = [picture["file_name"] for picture in pictures.values()]
    return Dataset(pixels, boxes, classes, names, used, digest.hexdigest())


def batch(data: Dataset, seed: int, step: int, size: int, mosaics: int, augment: bool) -> Batch:
    """The batch of this step: `size` pictures, the first `mosaics` composed of four each."""
    rng = np.random.default_rng([seed, step])
    chosen = rng.integers(len(data.pixels), size=4 * mosaics + size - mosaics)
    windows = np.stack(
        [
            _window(rng, data.boxes[number], i < 4 * mosaics, augment)
            for i, number in enumerate(chosen)
        ]
    )
    boxes = np.zeros((size, MOST_OBJECTS, 4), np.float32)
    classes = np.full((size, MOST_OBJECTS), -1, np.int32)
    for i in range(size):
        mosaic = i < mosaics
        tiles = range(4 * i, 4 * i + 4) if mosaic else [3 * mosaics + i]
        objects = []
        for place, tile in enumerate(tiles):
            number = chosen[tile]
            seen, left = _through(windows[tile], data.boxes[number])
            if mosaic:
                seen = (seen + np.tile([place % 2, place // 2], 2)) / 2
            objects.append((seen[left], data.classes[number][left]))
        xyxy = np.concatenate([boxes for boxes, _ in objects])[:MOST_OBJECTS]
        boxes[i, : len(xyxy), :2] = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        boxes[i, : len(xyxy), 2:] = xyxy[:, 2:] - xyxy[:, :2]
        classes[i, : len(xyxy)] = np.concatenate([c for _, c in objects])[:MOST_OBJECTS]
    gains = rng.uniform(0.8, 1.2, (size, 1, 1, 3)) if augment else np.ones((size, 1, 1, 3))
    return Batch(data.pixels[chosen], windows, gains.astype(np.float32), boxes, classes)


def _window(rng: Rng, boxes: Floats, tile: bool, augment: bool) -> Floats:
    """Choose a random part of a picture, possibly mirrored.

    Objects of which more than a corner is visible are not cut, because the rest of a box is not the
    box of the visible rest.
    """
    if not augment:
        return np.array([0, 0, 1, 1], np.float32)
    # A tile of a mosaic is half as large, so it takes half a picture or more.
    side = rng.uniform(0.5, 1.0) if tile else rng.uniform(0.7, 1.15)
    sides = side * rng.uniform(0.9, 1.1, 2)
    low = rng.uniform(0, 1, 2) * (1 - sides)
    high = low + sides
    whole = boxes.reshape(-1, 2, 2)
    while True:
        shown = np.minimum(whole[:, 1], high) - np.maximum(whole[:, 0], low)
        met = whole[(shown > CORNER * (whole[:, 1] - whole[:, 0])).all(axis=1)]
        hull = np.min([low, *met[:, 0]], axis=0), np.max([high, *met[:, 1]], axis=0)
        if (hull[0] == low).all() and (hull[1] == high).all():
            break
        low, high = hull
    if rng.random() < 0.5:
        return np.array([low[1], high[0], high[1], low[0]], np.float32)
    return np.array([low[1], low[0], high[1], high[0]], np.float32)


def _through(window: Floats, boxes: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Boxes xyxy as fractions of the window, clipped to it, and which of them still count."""
    top, left, bottom, right = window
    origin, sides = np.array([left, top]), np.array([right - left, bottom - top])
    corners = (boxes.reshape(-1, 2, 2) - origin) / sides
    corners = np.sort(corners, axis=1)
    clipped = np.clip(corners, 0, 1)
    area = np.prod(corners[:, 1] - corners[:, 0], axis=1)
    visible = np.prod(clipped[:, 1] - clipped[:, 0], axis=1)
    return clipped.reshape(-1, 4).astype(np.float32), (visible > KEPT * area) & (visible > 1e-5)


def cut(batch: Batch, mosaics: int, width: int, height: int) -> Any:
    """The pictures of a batch as a graph: float32 [N, height, width, 3], 0..1."""
    pixels = tf.cast(batch.pixels, tf.float32)

    def crop(part: slice, rows: int, columns: int) -> Any:
        # The operation's windows reach from pixel centre to pixel centre, ours from edge to edge.
        first, last = tf.split(batch.windows[part], 2, axis=1)
        half = 0.5 / np.array([rows, columns], np.float32) * (last - first)
        source = np.array(pixels.shape[1:3], np.float32)
        centres = tf.concat([first + half, last - half], axis=1)
        windows = (centres * np.tile(source, 2) - 0.5) / np.tile(source - 1, 2)
        return tf.image.crop_and_resize(
            *(pixels[part], windows, tf.range(tf.shape(windows)[0]), [rows, columns]),
            extrapolation_value=114.0,
        )

    pictures = crop(slice(4 * mosaics, None), height, width)
    if mosaics:
        tiles = crop(slice(0, 4 * mosaics), height // 2, width // 2)
        tiles = tf.reshape(tiles, [mosaics, 2, 2, height // 2, width // 2, 3])
        tiles = tf.transpose(tiles, [0, 1, 3, 2, 4, 5])
        tiles = tf.reshape(tiles, [mosaics, height, width, 3])
        pictures = tf.concat([tiles, pictures], axis=0)
    return tf.clip_by_value(pictures / 255.0 * batch.gains, 0.0, 1.0)
