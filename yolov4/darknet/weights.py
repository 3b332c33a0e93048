"""Reads `.weights` files: a header, then every convolution's values in the network's order.

Source: AlexeyAB/darknet, load_weights_upto and load_convolutional_weights in src/parser.c.
"""

import warnings
from pathlib import Path

import numpy as np

from yolov4.darknet.files import read_file
from yolov4.errors import ModelError, ModelWarning
from yolov4.network.network import Network
from yolov4.network.weights import (
    Array,
    ConvWeights,
    conv_shapes,
    count_floats,
    fold_batch_norm,
    unusable_variance,
)


def read_weights(path: Path, network: Network) -> list[ConvWeights]:
    """Return the weights of a `.weights` file for this network, batch normalization folded in.

    Values beyond the network's are ignored with a ModelWarning, as Darknet ignores them. ModelError
    if there are fewer, or if one of them cannot be.
    """
    floats = read_vector(path, network)
    cursor = 0

    def take(count: int) -> Array:
        nonlocal cursor
        cursor += count
        return floats[cursor - count : cursor]

    arrays = []
    for shape in conv_shapes(network):
        height, width, channels, filters = shape.kernel
        bias = take(filters)
        if shape.batch_normalize:
            gamma, mean, variance = take(filters), take(filters), take(filters)
        kernel = take(height * width * channels * filters)
        kernel = kernel.reshape(filters, channels, height, width).transpose(2, 3, 1, 0)
        if shape.batch_normalize:
            arrays.append(fold_batch_norm(kernel, bias, gamma, mean, variance))
        else:
            arrays.append(ConvWeights(kernel.copy(), bias.copy()))  # a view keeps the whole file
    return arrays


def read_vector(path: Path, network: Network, partial: bool = False) -> Array:
    """Return the values themselves: float32 [count_floats(network)], nothing folded in.

    partial: a file of only the first layers, such as `yolov4.conv.137`, is read too; the result is
    as long as the file. ModelError and ModelWarning as `read_weights`.
    """
    data = read_file(path)
    header = _header_bytes(path, data)
    _check_size(path, len(data), header, network, partial)
    count = min(count_floats(network), (len(data) - header) // 4)
    floats = np.frombuffer(data, "<f4", count, header)
    start = 0
    for shape in conv_shapes(network):
        values = floats[start : start + shape.floats]
        start += shape.floats
        if not np.isfinite(values).all():
            raise ModelError(f"{path}: layer {shape.layer} holds a NaN or an infinity")
        filters = shape.kernel[3]
        if shape.batch_normalize and unusable_variance(values[3 * filters : 4 * filters]):
            raise ModelError(
                f"{path}: layer {shape.layer} has a negative variance, so these are not its "
                "numbers. Was the file trained with another .cfg?"
            )
        # The last one in the file: space that a download reserved, and did not fill.
        if start >= count:
            if not values.any():
                raise ModelError(
                    f"{path}: layer {shape.layer}, the last one, holds only zeros, so the file is "
                    "incomplete. Download it again"
                )
            break
    return floats


def _check_size(path: Path, size: int, header: int, network: Network, partial: bool) -> None:
    expected = header + 4 * count_floats(network)
    sizes = f"{expected:,} bytes expected, {size:,} found"
    if size > expected:
        warnings.warn(
            f"{path} is longer than the network: {sizes}. The last {size - expected:,} bytes are "
            "ignored, as Darknet does. Was it trained with another .cfg?",
            ModelWarning,
            stacklevel=4,
        )
    if size >= expected:
        return
    convolutions = conv_shapes(network)
    ends = header + 4 * np.cumsum([shape.floats for shape in convolutions])
    whole = int(np.searchsorted(ends, size, side="right"))
    if not whole or ends[whole - 1] != size:
        raise ModelError(
            f"{path} is cut short: {sizes}; it ends within layer {convolutions[whole].layer}. "
            "Download it again, or give the .cfg it was trained with"
        )
    if not partial:
        raise ModelError(
            f"{path} ends with layer {convolutions[whole - 1].layer}: {sizes}. Partial weights, as "
            "in yolov4.conv.137, are a start for `python -m yolov4 train`: export what it trains"
        )


def _header_bytes(path: Path, data: bytes) -> int:
    """major, minor, revision, images seen: four int32, or from 0.2 on three and an int64."""
    if len(data) < 16:
        raise ModelError(f"{path} is cut short: a header of 16 bytes expected, {len(data)} found")
    # As Python's numbers: of a file that is no .weights, they overflow an int32.
    major, minor, _ = np.frombuffer(data, "<i4", count=3).tolist()
    if not (0 <= major < 1000 and 0 <= minor < 1000):  # in Darknet's too, 1000 is out of range
        raise ModelError(
            f"{path} is not a Darknet .weights file: it begins with the version {major}.{minor}. "
            "A PyTorch checkpoint must end in .pth"
        )
    return 20 if major * 10 + minor >= 2 else 16
