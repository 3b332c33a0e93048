"""`.weights` files: values in order, complete, partial, longer, damaged, and other files."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.inputs.official import Official
from tests.support.inputs.yolov4_models import NAMES, SMALL_CFG, write_model
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_vector, read_weights
from yolov4.errors import ModelError, ModelWarning
from yolov4.load import COCO_NAMES
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights, count_floats

# One normalized 1x1 convolution of 2 filters on 3 channels, then a head of 8 filters on those 2.
TWO = Network(
    32,
    32,
    3,
    (
        Convolutional(2, 1),
        Convolutional(8, 1, batch_normalize=False, activation="linear"),
        Yolo(((1, 2),), 3),
    ),
)
NUMBERS = np.arange(1, 1 + (4 * 2 + 2 * 3) + (8 + 2 * 8), dtype="<f4")


def weights(folder: Path, numbers: np.ndarray, version: tuple[int, int] = (0, 2)) -> Path:
    path = folder / "some.weights"
    seen = np.array([0], "<i8" if version[0] * 10 + version[1] >= 2 else "<i4")
    path.write_bytes(np.array([*version, 5], "<i4").tobytes() + seen.tobytes() + numbers.tobytes())
    return path


@pytest.mark.parametrize("version", [(0, 1), (0, 2), (1, 0)])
def test_numbers_are_read_in_darknets_order(tmp_path: Path, version: tuple[int, int]) -> None:
    first, second = read_weights(weights(tmp_path, NUMBERS, version), TWO)
    # The file has beta 1 2, gamma 3 4, mean 5 6, variance 7 8, then filter after filter.
    scale = np.array([3, 4]) / np.sqrt(np.array([7, 8]) + 1e-5)
    filters = np.array([[9, 10, 11], [12, 13, 14]])
    np.testing.assert_allclose(first.kernel, (filters.T * scale)[None, None], rtol=1e-6)
    np.testing.assert_allclose(first.bias, [1, 2] - np.array([5, 6]) * scale, rtol=1e-6)
    np.testing.assert_array_equal(second.bias, np.arange(15, 23))
    np.testing.assert_array_equal(second.kernel, np.arange(23, 39).reshape(8, 2).T[None, None])


def test_a_kernel_turns_from_filter_channel_row_column_to_row_column_channel_filter(
    tmp_path: Path,
) -> None:
    network = Network(32, 32, 3, (Convolutional(4, 2, batch_normalize=False),))
    numbers = np.arange(4 + 4 * 3 * 2 * 2, dtype="<f4")
    (only,) = read_weights(weights(tmp_path, numbers), network)
    assert only.kernel.shape == (2, 2, 3, 4)
    for filter_, channel, row, column in np.ndindex(4, 3, 2, 2):
        wanted = 4 + ((filter_ * 3 + channel) * 2 + row) * 2 + column
        assert only.kernel[row, column, channel, filter_] == wanted


@pytest.mark.parametrize(("missing", "layer_index"), [(1, 1), (23, 1), (25, 0), (38, 0)])
def test_a_file_cut_short_is_refused_with_both_numbers_and_the_layer(
    tmp_path: Path, missing: int, layer_index: int
) -> None:
    found = 172 - 4 * missing
    with pytest.raises(
        ModelError,
        match=f"some.weights is cut short: 172 bytes expected, {found} found; "
        f"it ends within layer {layer_index}",
    ):
        read_weights(weights(tmp_path, NUMBERS[:-missing]), TWO)


def test_half_a_number_is_missing(tmp_path: Path) -> None:
    path = weights(tmp_path, NUMBERS)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ModelError, match="172 bytes expected, 170 found"):
        read_weights(path, TWO)


@pytest.mark.parametrize("more", [b"\0", b"\0" * 4, b"\0" * 1000])
def test_a_longer_file_is_read_with_a_warning_of_both_sizes(tmp_path: Path, more: bytes) -> None:
    path = weights(tmp_path, NUMBERS)
    exact = read_weights(path, TWO)
    path.write_bytes(path.read_bytes() + more)
    with pytest.warns(
        ModelWarning,
        match=f"172 bytes expected, {172 + len(more):,} found. The last {len(more):,} bytes are ig",
    ):
        longer = read_weights(path, TWO)
    for one, other in zip(exact, longer, strict=True):
        np.testing.assert_array_equal(one.kernel, other.kernel)
        np.testing.assert_array_equal(one.bias, other.bias)


def test_partial_weights_are_for_training_only(tmp_path: Path) -> None:
    path = weights(tmp_path, NUMBERS[:14])
    np.testing.assert_array_equal(read_vector(path, TWO, partial=True), NUMBERS[:14])
    with pytest.raises(ModelError, match=r"ends with layer 0: 172 .* start for `python"):
        read_weights(path, TWO)


@pytest.mark.parametrize("count", [0, 13, 15])
def test_partial_weights_end_with_a_layer(tmp_path: Path, count: int) -> None:
    with pytest.raises(ModelError, match=f"it ends within layer {count // 14}. Download it again"):
        read_vector(weights(tmp_path, NUMBERS[:count]), TWO, partial=True)


@pytest.mark.parametrize("zeros", [24, 38])
def test_reserved_space_that_was_never_filled_is_refused(tmp_path: Path, zeros: int) -> None:
    numbers = NUMBERS.copy()
    numbers[-zeros:] = 0
    with pytest.raises(ModelError, match="layer 1, the last one, holds only zeros"):
        read_weights(weights(tmp_path, numbers), TWO)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n<!DOCTYPE html><html>Google Drive - Virus scan warning", "is a web page, not a model"),
        (b"<html>" * 1000, "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "is a Git LFS pointer.*git lfs pull",
        ),
        (b"PK\3\4" + bytes(1000), r"is not a Darknet \.weights file.*must end in \.pth"),
        (b"\x80\2\x8a\n" + bytes(1000), r"is not a Darknet \.weights file"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "some.weights"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"some\.weights {reason}"):
        read_weights(path, TWO)


@pytest.mark.parametrize("content", [b"", b"\0" * 15])
def test_a_file_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.weights"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"16 bytes expected, {len(content)} found"):
        read_weights(path, TWO)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("position", "layer_index"), [(0, 0), (13, 0), (14, 1), (37, 1)])
def test_numbers_that_are_none_are_refused_with_their_layer(
    tmp_path: Path, bad: float, position: int, layer_index: int
) -> None:
    numbers = NUMBERS.copy()
    numbers[position] = bad
    with pytest.raises(ModelError, match=f"layer {layer_index} holds a NaN or an infinity"):
        read_weights(weights(tmp_path, numbers), TWO)


@pytest.mark.parametrize("variance", [-7e-44, -9e-6])
def test_a_variance_that_rounding_made_negative_is_read(tmp_path: Path, variance: float) -> None:
    """A trained MobileNetV2-YOLO-Fastest has -7e-44 where a channel is dead."""
    numbers = NUMBERS.copy()
    numbers[6] = variance
    first, _ = read_weights(weights(tmp_path, numbers), TWO)
    scale = 3 / np.sqrt(float(numbers[6]) + 1e-5)
    np.testing.assert_allclose(first.kernel[0, 0, :, 0], np.array([9, 10, 11]) * scale, rtol=1e-5)


@pytest.mark.parametrize("variance", [-1.1e-5, -1])
def test_a_negative_variance_is_refused(tmp_path: Path, variance: float) -> None:
    numbers = NUMBERS.copy()
    numbers[6] = variance
    with pytest.raises(ModelError, match="layer 0 has a negative variance"):
        read_weights(weights(tmp_path, numbers), TWO)


def test_the_official_file_ends_with_its_last_layer(official: Official) -> None:
    network = read_cfg(official.cfg)
    arrays = read_weights(official.weights, network)
    assert (len(arrays), count_floats(network)) == (21, 6_062_814)
    assert arrays[-1].kernel.shape == (1, 1, 256, 255)
    assert network.classes == len(read_names(COCO_NAMES)) == 80


def test_the_small_model_of_these_tests_is_read(tmp_path: Path) -> None:
    files = write_model(tmp_path)
    network = read_cfg(files[0])
    assert len(network.layers) == SMALL_CFG.count("[") - 1
    assert all(isinstance(a, ConvWeights) for a in read_weights(files[1], network))
    assert read_names(files[2], network.classes) == NAMES


def test_a_text_file_as_weights_is_refused_in_one_line(tmp_path: Path) -> None:
    """Its first letters are numbers too large for an int32 sum, which must not be a second word."""
    cfg, weights, _ = write_model(tmp_path)
    weights.write_text("these are no weights but a text\n")
    with pytest.raises(ModelError, match=r"is not a Darknet \.weights file"):
        read_weights(weights, read_cfg(cfg))


def test_a_missing_file_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none: No such file"):
        read_weights(tmp_path / "none", TWO)
