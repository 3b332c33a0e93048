"""Labelled pictures from a seed: shapes of many sizes on textured backgrounds.

Every shape is annotated. At least VISIBLE of each shape is inside the picture and not covered by
others. Boxes enclose the visible part tightly.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from yolov4.demo.backgrounds import Pixels, Rng, background
from yolov4.demo.shapes import COLOURS, SHAPES, Colour, Pen

NAMES = tuple(SHAPES)
VISIBLE = 0.8  # share of a shape's own pixels
USUAL = 0.92  # share of the shapes with about their usual colours; the others have random ones
TURN = 15.0  # degrees, standard deviation
APART = 85.0  # minimum RGB distance between a shape and the background at its centre
# A shape's longer side, relative to the square root of the picture's area.
SMALLEST, LARGEST = 0.05, 0.8
ASPECTS = (1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)


class Object(NamedTuple):
    class_id: int
    box_xywh: tuple[int, int, int, int]  # left, top, width and height in pixels, as in COCO


@dataclass
class Scene:
    image: Image.Image
    jpeg_quality: int
    objects: list[Object]

    def jpeg(self) -> bytes:
        file = io.BytesIO()
        self.image.save(file, "JPEG", quality=self.jpeg_quality)
        return file.getvalue()


@dataclass
class _Placed:
    class_id: int
    mask: npt.NDArray[np.bool_]  # [height, width] of the picture: its visible part
    area: int  # of the whole shape, in pixels


def scene(seed: int) -> Scene:
    """The scene of this seed, reproducible with the same versions of numpy and Pillow."""
    rng = np.random.default_rng(seed)
    area, aspect = rng.uniform(280, 440) ** 2, ASPECTS[rng.integers(len(ASPECTS))]
    width, height = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
    canvas = background(rng, width, height)
    placed: list[_Placed] = []
    # Large shapes first, because they would cover small ones.
    for share in sorted((_share(rng) for _ in range(rng.integers(1, 8))), reverse=True):
        for _ in range(6):
            if _place(rng, canvas, placed, share * float(area) ** 0.5):
                break
    objects = [Object(thing.class_id, _bounds(thing.mask)) for thing in placed]
    return Scene(_photograph(rng, canvas), int(rng.integers(40, 96)), objects)


def _share(rng: Rng) -> float:
    low, high = (SMALLEST, LARGEST) if rng.random() < 0.12 else (0.16, 0.6)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _place(rng: Rng, canvas: Pixels, placed: list[_Placed], longer: float) -> bool:
    """Draw a random shape at a random position; False if it does not fit there."""
    height, width = canvas.shape[:2]
    class_id = int(rng.integers(len(NAMES)))
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    ground = canvas[min(int(y), height - 1), min(int(x), width - 1)]
    body, detail = _colours(rng, NAMES[class_id])
    if np.linalg.norm(ground - body) < APART:
        return False
    shape = _shape(rng, class_id, longer, body, detail)
    left, top = int(x) - shape.shape[1] // 2, int(y) - shape.shape[0] // 2
    inside = (
        slice(max(top, 0), min(top + shape.shape[0], height)),
        slice(max(left, 0), min(left + shape.shape[1], width)),
    )
    part = shape[
        inside[0].start - top : inside[0].stop - top,
        inside[1].start - left : inside[1].stop - left,
    ]
    opaque = part[..., 3] > 127
    area = int((shape[..., 3] > 127).sum())
    if area == 0 or opaque.sum() < max(VISIBLE * area, 12):
        return False
    for other in placed:
        if (other.mask.sum() - (other.mask[inside] & opaque).sum()) < VISIBLE * other.area:
            return False
    for other in placed:
        other.mask[inside] &= ~opaque
    mask = np.zeros((height, width), np.bool_)
    mask[inside] = opaque
    placed.append(_Placed(class_id, mask, area))
    alpha = part[..., 3:] / np.float32(255)
    canvas[inside] += (part[..., :3] - canvas[inside]) * alpha
    return True


def _shape(rng: Rng, class_id: int, longer: float, body: Colour, detail: Colour) -> Pixels:
    """One shape, rotated, shaded and cropped: float32 [height, width, 4], RGBA 0..255."""
    pen = Pen(int(min(max(longer * 1.5, 48), 420)), body, detail)
    SHAPES[NAMES[class_id]](pen)
    image = pen.image
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    squeeze = rng.uniform(0.8, 1.0)
    sides = (1.0, squeeze) if rng.random() < 0.5 else (squeeze, 1.0)
    image = image.resize((round(pen.size * sides[0]), round(pen.size * sides[1])))
    image = image.rotate(
        rng.normal(0, TURN), Image.Resampling.BILINEAR, expand=True, fillcolor=(*body, 0)
    )
    image = image.crop(image.getchannel("A").getbbox())
    scale = longer / max(image.size)
    size = max(round(image.width * scale), 2), max(round(image.height * scale), 2)
    image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.asarray(image, np.float32).copy()
    # Light from one side.
    near, far = (float(light) for light in rng.uniform(0.8, 1.2, 2))
    light = np.linspace(near, far, size[0], dtype=np.float32)
    pixels[..., :3] *= light[None, :, None]
    return pixels


def _colours(rng: Rng, name: str) -> tuple[Colour, Colour]:
    """Colours of body and detail: close to the usual ones, or sometimes any two that differ."""
    pair = np.array(COLOURS[name]) + rng.normal(0, 12, (2, 3))
    if rng.random() > USUAL:
        while True:
            pair = rng.uniform(0, 255, (2, 3))
            if np.linalg.norm(pair[0] - pair[1]) > APART:
                break
    body, detail = np.clip(pair, 0, 255).astype(int).tolist()
    return tuple(body), tuple(detail)


def _bounds(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def _photograph(rng: Rng, canvas: Pixels) -> Image.Image:
    """Add random brightness, noise and blur."""
    pixels = canvas / np.float32(255)
    if rng.random() < 0.5:
        pixels = np.clip(pixels, 0, 1) ** np.float32(rng.uniform(0.7, 1.5))
        pixels = pixels * (rng.uniform(0.75, 1.2) * rng.uniform(0.94, 1.06, 3)).astype(np.float32)
    if rng.random() < 0.5:
        sigma = np.float32(rng.uniform(0.01, 0.05))
        pixels = pixels + sigma * rng.standard_normal(pixels.shape, np.float32)
    image = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6)))
    return image


def write_scenes(seeds: Sequence[int], directory: Path, processes: int = 2) -> Path:
    """Draw these seeds as `<directory>/<seed>.jpg` and annotate them in COCO's format.

    Returns the annotations' path, `<directory>/instances.json`, written last.
    """
    directory.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with get_context("spawn").Pool(processes) as pool:
        drawn = pool.imap(partial(_draw, directory), seeds, chunksize=16)
        for seed, (width, height, objects) in zip(seeds, drawn, strict=True):
            name = _file_name(seed)
            images.append({"id": seed, "file_name": name, "width": width, "height": height})
            for thing in objects:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": seed,
                        "category_id": thing.class_id + 1,
                        "bbox": list(thing.box_xywh),
                        "area": thing.box_xywh[2] * thing.box_xywh[3],
                        "iscrowd": 0,
                    }
                )
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, start=1)]
    about = {"images": images, "annotations": annotations, "categories": categories}
    path = directory / "instances.json"
    path.write_text(json.dumps(about), encoding="utf-8")
    return path


def _draw(directory: Path, seed: int) -> tuple[int, int, list[Object]]:
    drawn = scene(seed)
    (directory / _file_name(seed)).write_bytes(drawn.jpeg())
    return *drawn.image.size, drawn.objects


def _file_name(seed: int) -> str:
    return f"{seed:08}.jpg"
