"""Small models for the tests, written as a user's would be: a `.cfg`, `.weights` and `.names`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from yolov4.darknet.reader import read_cfg
from yolov4.network.weights import conv_shapes

# A bit of everything Darknet and OpenCV both know; the input is not square.
SMALL_CFG = """
[net]
width=96
height=64
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=mish

[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
groups=4
activation=swish

[route]
layers=-1
groups=2
group_id=1

[convolutional]
filters=8
size=1
stride=1
pad=1
activation=relu

[shortcut]
from=-2
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=16
size=5
stride=1
padding=2
activation=logistic

[maxpool]
size=5
stride=1

[dropout]
probability=.5

[route]
layers=-1,-3

[maxpool]
size=2
stride=1

[convolutional]
batch_normalize=1
filters=24
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=24
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=3,4,5
anchors=4,5, 8,6, 9,14, 20,16, 24,40, 60,44
classes=3
num=6
scale_x_y=1.05
nms_kind=greedynms

[route]
layers=11

[upsample]
stride=2

[route]
layers=-1,6

[convolutional]
filters=24
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=4,5, 8,6, 9,14, 20,16, 24,40, 60,44
classes=3
num=6
scale_x_y=1.2
nms_kind=diounms
beta_nms=0.7
"""

# YOLOv4-tiny's pattern: LeakyReLU, slices, joins, pools, two heads.
TINY_CFG = """
[net]
width=96
height=64
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
activation=leaky

[route]
layers=-1
groups=2
group_id=1

[convolutional]
batch_normalize=1
filters=24
size=3
stride=1
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=8
size=1
stride=1
pad=1
activation=leaky

[route]
layers=-4,-1

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=40
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=24
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=3,4,5
anchors=4,5, 8,6, 9,14, 20,16, 24,40, 60,44
classes=3
num=6

[route]
layers=7

[upsample]
stride=2

[route]
layers=-1,6

[convolutional]
filters=24
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=4,5, 8,6, 9,14, 20,16, 24,40, 60,44
classes=3
num=6
"""

NAMES = ["ape", "bee", "cat"]


def write_model(
    folder: Path,
    cfg: str = SMALL_CFG,
    seed: int = 0,
    head_bias: float = 0.0,
    spread: float = 0.5,
    gain: float = 2.0,
) -> tuple[Path, Path, Path]:
    """Write a model with seeded random numbers; return its `.cfg`, `.weights` and `.names`.

    `spread`: of batch normalisation around 0 and 1; `gain`: variance of kernels times fan-in.
    """
    rng = np.random.default_rng(seed)
    files = folder / "small.cfg", folder / "small.weights", folder / "small.names"
    files[0].write_text(cfg)
    files[2].write_text("\n".join(NAMES) + "\n")
    with files[1].open("wb") as file:
        np.array([0, 2, 5, 0, 0], "<i4").tofile(file)
        for shape in conv_shapes(read_cfg(files[0])):
            filters, fan_in = shape.kernel[3], int(np.prod(shape.kernel[:3]))
            if shape.batch_normalize:
                for middle in (0, 1, 0, 1):  # beta, gamma, mean, variance
                    rng.uniform(middle - spread, middle + spread, filters).astype("<f4").tofile(
                        file
                    )
            else:
                rng.normal(head_bias, 0.5, filters).astype("<f4").tofile(file)
            rng.normal(0, (gain / fan_in) ** 0.5, filters * fan_in).astype("<f4").tofile(file)
    return files


def export_arguments(files: tuple[Path, Path, Path], repository: Path) -> list[str]:
    """What to say to `python -m yolov4` to export them as `small`."""
    cfg, weights, names = map(str, files)
    options = ["--name", "small", "--cfg", cfg, "--weights", weights, "--names", names]
    # What these tests compare is exact, on any CPU.
    return ["export", *options, "--repository", str(repository), "--precision", "f32"]


def load(version: Path) -> Callable[[list[bytes]], dict[str, Any]]:
    """Load a SavedModel as TensorFlow Serving does: its graph into a Session."""
    import tensorflow as tf

    with tf.Graph().as_default():
        session = tf.compat.v1.Session()
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(version))
    signature = meta.signature_def["serving_default"]
    outputs = {key: info.name for key, info in signature.outputs.items()}

    def predict(pictures: list[bytes]) -> dict[str, Any]:
        answer: dict[str, Any] = session.run(outputs, {signature.inputs["image"].name: pictures})
        return answer

    return predict
