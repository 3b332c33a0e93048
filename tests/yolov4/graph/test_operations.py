"""Layers without weights against loops after Darknet's source."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.inputs.layers import identity, output_of
from tests.support.oracles import darknet_layers
from yolov4.network.layers import (
    AveragePool,
    Convolutional,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Upsample,
)
from yolov4.network.weights import ConvWeights

Array = npt.NDArray[np.float32]
LINEAR = Convolutional(8, 1, batch_normalize=False, activation="linear")


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def chw(image: Array) -> Array:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


@pytest.mark.parametrize("height", [12, 13])
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(2, 1, 1), (2, 2, 1), (3, 2, 2), (5, 1, 4), (3, 3, 2), (4, 2, 0), (2, 2, 0), (3, 1, 3)],
)
def test_pooling_pads_as_darknet_does(height: int, size: int, stride: int, padding: int) -> None:
    # All below zero, so that a padding of zeros would win.
    image = -1 - np.random.default_rng(0).random((height, 10, 3), np.float32)
    rows = (height + padding - size) // stride + 1
    columns = (10 + padding - size) // stride + 1
    wanted = np.empty((rows, columns, 3), np.float32)
    for row, column in np.ndindex(rows, columns):  # forward_maxpool_layer in src/maxpool_layer.c
        top, left = row * stride - padding // 2, column * stride - padding // 2
        window = image[max(top, 0) : top + size, max(left, 0) : left + size]
        wanted[row, column] = window.max(axis=(0, 1))
    pooled = output_of([MaxPool(size, (stride, stride), padding)], image)
    np.testing.assert_array_equal(pooled, wanted)


@pytest.mark.parametrize("height", [12, 13])
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(4, 4, 3), (2, 2, 1), (3, 2, 2), (5, 1, 4), (3, 3, 2), (4, 2, 0), (3, 1, 3)],
)
def test_local_averages_leave_the_padding_out(
    height: int, size: int, stride: int, padding: int
) -> None:
    image = noise(height, 10, 3)
    wanted = darknet_layers.local_avgpool(chw(image), size, stride, padding)
    pooled = output_of([AveragePool(size, (stride, stride), padding)], image)
    np.testing.assert_allclose(chw(pooled), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [2, 3])
def test_upsampling_repeats_every_pixel(stride: int) -> None:
    image = noise(3, 5, 3)
    wanted = image.repeat(stride, axis=0).repeat(stride, axis=1)
    np.testing.assert_array_equal(output_of([Upsample(stride)], image), wanted)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize(("stride", "channels"), [(2, 8), (2, 12), (3, 9), (1, 5)])
def test_reorg_is_darknets(stride: int, channels: int, interleaved: bool) -> None:
    image = noise(6, 12, channels)
    wanted = darknet_layers.reorg(chw(image), stride, old=interleaved)
    np.testing.assert_array_equal(chw(output_of([Reorg(stride, interleaved)], image)), wanted)


def test_channels_are_scaled_by_their_own_number() -> None:
    image = noise(6, 4, 8)
    layers: list[Layer] = [LINEAR, GlobalAveragePool(), ScaleChannels(0)]
    average = chw(image).mean(axis=(1, 2), keepdims=True)
    wanted = darknet_layers.scale_channels(average, chw(image), scale_wh=False)
    found = output_of(layers, image, [identity(8)])
    np.testing.assert_allclose(chw(found), wanted, rtol=1e-5, atol=1e-6)


def test_pixels_are_scaled_by_their_own_number() -> None:
    image = noise(6, 4, 8)
    one = Convolutional(1, 1, batch_normalize=False, activation="linear")
    kernel = noise(1, 1, 8, 1)
    layers: list[Layer] = [LINEAR, one, ScaleChannels(0, "relu", scale_wh=True)]
    factor = chw(image @ kernel[0, 0])
    wanted = darknet_layers.scale_channels(factor, chw(image), scale_wh=True)
    found = output_of(layers, image, [identity(8), ConvWeights(kernel, np.zeros(1, np.float32))])
    np.testing.assert_allclose(chw(found), np.maximum(wanted, 0), rtol=1e-4, atol=1e-5)


def test_attention_multiplies_every_value_by_its_own() -> None:
    image = noise(6, 4, 8)
    kernel = noise(1, 1, 8, 8)
    layers: list[Layer] = [LINEAR, LINEAR, Sam(0, "leaky")]
    product = image * (image @ kernel[0, 0])
    found = output_of(layers, image, [identity(8), ConvWeights(kernel, np.zeros(8, np.float32))])
    np.testing.assert_allclose(
        found, np.where(product > 0, product, 0.1 * product), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize(
    ("size", "stride", "dilation"), [(3, 1, 2), (3, 1, 3), (5, 2, 2), (3, 2, 3)]
)
def test_dilated_convolutions_are_darknets(
    size: int, stride: int, dilation: int, groups: int
) -> None:
    image = noise(13, 12, 8)
    layer = Convolutional(
        *(8, size, (stride, stride), size // 2, groups, False, "linear"), dilation=dilation
    )
    kernel = noise(size, size, 8 // groups, 8)
    parts = zip(np.split(chw(image), groups), np.split(kernel, groups, axis=3), strict=True)
    wanted = [
        darknet_layers.convolve(x, k.transpose(3, 2, 0, 1), size // 2, stride, dilation)
        for x, k in parts
    ]
    found = output_of([layer], image, [ConvWeights(kernel, np.zeros(8, np.float32))])
    np.testing.assert_allclose(chw(found), np.concatenate(wanted), rtol=1e-4, atol=1e-4)


def test_a_route_takes_one_group_of_channels() -> None:
    image = noise(3, 5, 8)
    layers: list[Layer] = [LINEAR, Route((0,), groups=4, group_id=2)]
    np.testing.assert_array_equal(output_of(layers, image, [identity(8)]), image[..., 4:6])
