"""What moves a box: not the size or padding of its batch, but encoding the picture again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.detection.imaging import image, pixels
from tests.support.project import ROOT

SAMPLES = ROOT / "service/web/samples"
SHOWN = 0.05  # the least score compared
MOVED_PX = 0.01
ENCODED_AGAIN = 0.01  # of the picture's longer side; was seen: 2.06 of 768 pixels

Rows = dict[str, Any]


def resized(name: str, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    with Image.open(SAMPLES / name) as photo:
        photo.convert("RGB").resize(size).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    photos = [path.read_bytes() for path in sorted(SAMPLES.glob("*.jpg"))]
    sizes = [(300, 200), (640, 480), (200, 500), (901, 333), (768, 576)]
    return photos + [resized("coffee.jpg", size) for size in sizes]


@pytest.fixture(scope="module")
def predict(coco_repository: Path) -> Any:
    import tensorflow as tf

    (version,) = (coco_repository / "yolov4-tiny").glob("[0-9]*")
    model = tf.saved_model.load(str(version))

    def run(batch: list[bytes]) -> Rows:
        outputs = model.signatures["serving_default"](image=tf.constant(batch))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


def moved_px(some: Rows, other: Rows) -> float:
    """The first rows' detections, which must be the same objects."""
    shown = some["scores"][0] > SHOWN
    assert (some["classes"][0][shown] == other["classes"][0][shown]).all()
    assert np.abs(some["scores"][0] - other["scores"][0]).max() < SHOWN
    return float(np.abs(some["boxes"][0][shown] - other["boxes"][0][shown]).max(initial=0))


@pytest.mark.slow
def test_neither_batch_size_nor_padding_moves_a_box(predict: Any, pictures: list[bytes]) -> None:
    alone = [predict([picture]) for picture in pictures]
    assert sum((rows["scores"] > SHOWN).sum() for rows in alone) > 20
    for size, padding in [(2, 0), (4, 1), (8, 0), (8, 3)]:
        for number, expected in enumerate(alone[:2]):
            others = [pictures[(number + k) % len(pictures)] for k in range(size - padding)]
            batch = others + [others[-1]] * padding  # as TensorFlow Serving pads
            assert moved_px(expected, predict(batch)) < MOVED_PX, (size, padding, number)


@pytest.mark.slow
def test_encoding_a_picture_again_moves_boxes_by_less_than_a_hundredth(
    predict: Any, pictures: list[bytes]
) -> None:
    moved = []
    for picture in pictures:
        header = image.pillow_header(picture)
        again = pixels.normalize_orientation(picture, header)
        px = moved_px(predict([picture]), predict([again.data]))
        moved.append(px / max(header.width, header.height))
    assert 0 < max(moved) < ENCODED_AGAIN
