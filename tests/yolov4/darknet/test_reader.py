from pathlib import Path

import numpy as np
import pytest

from tests.support.inputs.official import Official
from tests.support.inputs.yolov4_models import NAMES, SMALL_CFG, write_model
from yolov4.darknet.reader import read_cfg, read_names, read_weights
from yolov4.errors import ModelError, ModelWarning
from yolov4.load import COCO_NAMES
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shortcut, Upsample
from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights, count_floats

NET = "[net]\nwidth=64\nheight=32\nchannels=3\n"
HEAD = "[convolutional]\nfilters=16\nactivation=linear\n[yolo]\nnum=2\nanchors=1,2,3,4\nclasses=3\n"


def cfg(folder: Path, text: str) -> Path:
    path = folder / "some.cfg"
    path.write_text(text)
    return path


def layer(folder: Path, text: str) -> Layer:
    """The second layer of a network whose first is a convolution of 8 filters."""
    first = "[convolutional]\nfilters=8\nactivation=linear\n"
    return read_cfg(cfg(folder, f"{NET}{first}{text}\n{HEAD}")).layers[1]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[convolutional]", Convolutional(1, 1, batch_normalize=False, activation="logistic")),
        (
            "[conv]\nfilters=4\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=mish",
            Convolutional(4, 3, (2, 2), 1, 1, True, "mish"),
        ),
        (
            "[convolutional]\nfilters=4\nsize=5\npadding=1\nstride_x=2\nstride_y=3\ngroups=2\n"
            "activation=swish",
            Convolutional(4, 5, (3, 2), 1, 2, False, "swish"),
        ),
        (
            "[convolutional]\nsize=3\npad=1\npadding=7\nactivation=relu\nstride=2\nstride_x=1",
            Convolutional(1, 3, (2, 1), 1, 1, False, "relu"),
        ),
        ("[convolutional]\ncbn=1\nactivation=leaky", Convolutional(1, 1, activation="leaky")),
        ("[shortcut]\nfrom=-1", Shortcut((0,))),
        ("[shortcut]\nfrom=-1, 0\nactivation=leaky", Shortcut((0, 0), "leaky")),
        ("[route]\nlayers=-1,0", Route((0, 0))),
        ("[route]\nlayers=0\ngroups=2\ngroup_id=1", Route((0,), 2, 1)),
        ("[maxpool]\nsize=5\nstride=1", MaxPool(5, (1, 1), 4)),
        ("[maxpool]\nstride=2", MaxPool(2, (2, 2), 1)),
        ("[maxpool]\nsize=3\nstride=2\npadding=0", MaxPool(3, (2, 2), 0)),
        ("[upsample]", Upsample(2)),
        ("[upsample]\nstride=4", Upsample(4)),
        ("[dropout]\nprobability=.5", Dropout()),
    ],
)
def test_sections_become_layers_with_darknets_defaults(
    tmp_path: Path, text: str, wanted: Layer
) -> None:
    assert layer(tmp_path, text) == wanted


def test_a_head_takes_the_anchors_of_its_mask(tmp_path: Path) -> None:
    text = HEAD.replace("num=2", "num=3\nmask=2,0\nscale_x_y=2\nnew_coords=1").replace(
        "3,4", "3,4,5.5,6"
    )
    head = read_cfg(cfg(tmp_path, NET + text)).layers[1]
    assert head == Yolo(((5.5, 6.0), (1.0, 2.0)), 3, 2.0, True)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (f"{NET}[convolutional]\nactivation=gelu\n{HEAD}", 6, "activation=gelu is not supported"),
        (f"{NET}[shortcut]\nactivation=linear\n{HEAD}", 5, "from= is missing"),
        (f"{NET}[route]\nlayers=-1\n{HEAD}", 6, "layers=-1: there is no such layer before"),
        (f"{NET}{HEAD}[route]\nlayers=5\n", 13, "layers=5: there is no such layer before"),
        (NET + HEAD.replace("=16", "=18"), 8, r"18 filters, but 2 anchors .* need 16"),
        (NET + HEAD.replace("num=2", "num=3"), 10, "4 numbers, but num=3 needs 6"),
        (NET + HEAD.replace("num=2", "num=2\nmask=2"), 10, "mask=2: anchors are numbered from 0"),
        (NET + HEAD.replace("1,2", "1,inf"), 10, "anchors=1,inf,3,4: expected numbers separated"),
        (NET + HEAD.replace("1,2", "1,x"), 10, "anchors=1,x,3,4: expected numbers separated"),
        (NET + HEAD.replace("=16", "=many"), 6, "filters=many: expected an integer"),
        (NET + HEAD.replace("=16", "=0"), 6, "filters=0: expected at least 1"),
        (NET.replace("64", "63") + HEAD, 2, "63x32.*multiples of 32"),
        (NET.replace("=3\n", "=1\n") + HEAD, 4, "channels=1: pictures have 3"),
        (HEAD, 1, r"begins with \[net\], this one begins with \[convolutional\]"),
        (
            f"{NET}[maxpool]\nstride=2\n[convolutional]\n[route]\nlayers=-1,-2\n"
            f"[maxpool]\nstride=2\n[route]\nlayers=-1,-2\n{HEAD}",
            12,
            "joins layer 3, which is 16x8x4, with layer 2, which is 32x16x4",
        ),
        (
            NET
            + HEAD
            + "[route]\nlayers=0\n"
            + HEAD.replace("classes=3", "classes=11").replace("=16", "=32"),
            20,
            "classes=11, but the first .* has 3",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    with pytest.raises(ModelError, match=rf"some\.cfg, line {line}: .*{reason}"):
        read_cfg(cfg(tmp_path, text))


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \[yolo\] section"):
        read_cfg(cfg(tmp_path, NET + "[convolutional]\nactivation=linear\n"))


def test_letter_box_is_not_done_and_the_user_hears_of_it(tmp_path: Path) -> None:
    with pytest.warns(ModelWarning, match=r"some\.cfg, line 5: letter_box=1"):
        network = read_cfg(cfg(tmp_path, f"{NET}letter_box=1\n{HEAD}"))
    assert (network.width, network.height) == (64, 32)


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


@pytest.mark.parametrize(("missing", "layer_index"), [(1, 1), (24, 1), (25, 0), (38, 0)])
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
def test_a_file_too_long_is_refused_with_both_numbers(tmp_path: Path, more: bytes) -> None:
    path = weights(tmp_path, NUMBERS)
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(ModelError, match=f"172 bytes expected, {172 + len(more):,} found"):
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


def test_a_negative_variance_is_refused(tmp_path: Path) -> None:
    numbers = NUMBERS.copy()
    numbers[6] = -1
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


@pytest.mark.parametrize(
    "content",
    [b"ape\nbee\ncat", b"ape\nbee\ncat\n\n \n", b"\xef\xbb\xbf ape \r\nbee\t\r\ncat\r\n"],
)
def test_names_are_the_lines_of_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.names"
    path.write_bytes(content)
    assert read_names(path, classes=3) == ["ape", "bee", "cat"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ape\nbee\n", r"some\.names has 2 names, but the network has 3 classes"),
        (b"", "has 0 names, but the network has 3 classes"),
        (b"ape\n\ncat\n", "line 2: a class without a name"),
        (b"ape\n\xff\n", "not UTF-8 text, from byte 4 on"),
    ],
)
def test_names_that_are_not_the_networks_are_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "some.names"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read_names(path, classes=3)


@pytest.mark.parametrize("read", [read_names, lambda path: read_weights(path, TWO)])
def test_a_missing_file_is_reported_in_one_line(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(ModelError, match=r"cannot read .*none: No such file"):
        read(tmp_path / "none")


def test_a_text_file_as_weights_is_refused_in_one_line(tmp_path: Path) -> None:
    """Its first letters are numbers too large for an int32 sum, which must not be a second word."""
    cfg, weights, _ = write_model(tmp_path)
    weights.write_text("these are no weights but a text\n")
    with pytest.raises(ModelError, match="is cut short"):
        read_weights(weights, read_cfg(cfg))
