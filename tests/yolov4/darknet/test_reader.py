from pathlib import Path

import pytest

from yolov4.darknet.reader import read_cfg, read_names
from yolov4.errors import ModelError
from yolov4.network.heads import GaussianYolo, Region, Yolo
from yolov4.network.layers import (
    AveragePool,
    Contrastive,
    Convolutional,
    Dropout,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)

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
        (
            "[convolutional]\nsize=3\npad=1\ndilation=2\nactivation=relu6",
            Convolutional(1, 3, padding=1, batch_normalize=False, activation="relu6", dilation=2),
        ),
        ("[local_avgpool]\nsize=4\nstride=4", AveragePool(4, (4, 4), 3)),
        ("[local_avgpool]\nstride=2\npadding=0", AveragePool(2, (2, 2), 0)),
        ("[avgpool]", GlobalAveragePool()),
        ("[sam]\nfrom=-1", Sam(0)),
        ("[sam]\nfrom=0\nactivation=logistic", Sam(0, "logistic")),
        ("[reorg]\nstride=2", Reorg(2, interleaved=True)),
        ("[reorg3d]\nstride=2", Reorg(2, interleaved=False)),
        ("[contrastive]\nclasses=1\nyolo_layer=-2", Contrastive()),
    ],
)
def test_sections_become_layers_with_darknets_defaults(
    tmp_path: Path, text: str, wanted: Layer
) -> None:
    assert layer(tmp_path, text) == wanted


def test_a_squeezed_layer_is_scaled(tmp_path: Path) -> None:
    first = "[convolutional]\nfilters=8\nactivation=linear\n"
    text = f"{NET}{first}[avgpool]\n[scale_channels]\nfrom=-2\nactivation=relu\n{HEAD}"
    assert read_cfg(cfg(tmp_path, text)).layers[2] == ScaleChannels(0, "relu")
    one = "[convolutional]\nactivation=linear\n"
    text = f"{NET}{first}{one}[scale_channels]\nfrom=0\nscale_wh=1\n{HEAD}"
    assert read_cfg(cfg(tmp_path, text)).layers[2] == ScaleChannels(0, "linear", True)


def test_a_head_takes_the_anchors_of_its_mask(tmp_path: Path) -> None:
    text = HEAD.replace("num=2", "num=3\nmask=2,0\nscale_x_y=2\nnew_coords=1").replace(
        "3,4", "3,4,5.5,6"
    )
    head = read_cfg(cfg(tmp_path, NET + text)).layers[1]
    assert head == Yolo(((5.5, 6.0), (1.0, 2.0)), 3, 2.0, True)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (f"{NET}[convolutional]\nactivation=stair\n{HEAD}", 6, "activation=stair is not supported"),
        (f"{NET}[shortcut]\nactivation=linear\n{HEAD}", 5, "from= is missing"),
        (f"{NET}[route]\nlayers=-1\n{HEAD}", 6, "layers=-1: there is no such layer before"),
        (f"{NET}{HEAD}[route]\nlayers=5\n", 13, "layers=5: there is no such layer before"),
        (NET + HEAD.replace("=16", "=18"), 8, r"18 filters, but 2 anchors .* need 16"),
        (NET + HEAD.replace("num=2", "num=3"), 10, "4 numbers, but num=3 needs 6"),
        (NET + HEAD.replace("num=2", "num=2\nmask=2"), 10, "mask=2: anchors are numbered from 0"),
        (f"{NET}{HEAD}nms_kind=soft", 12, "nms_kind=soft is not supported; supported: default, g"),
        (NET + HEAD.replace("[yolo]", "[region]"), 8, "only softmax=1 is supported"),
        (
            f"{NET}[convolutional]\nsize=3\ndilation=2\nactivation=linear\n{HEAD}",
            7,
            "dilation=2 needs pad=1 and an odd size",
        ),
        (
            f"{NET}[convolutional]\n[avgpool]\n[scale_channels]\nfrom=0\nactivation=mish\n{HEAD}",
            9,
            r"\[scale_channels\] has no activation=mish",
        ),
        (f"{NET}[convolutional]\n[sam]\nfrom=0,0\n{HEAD}", 7, "from= names one layer"),
        (
            f"{NET}[convolutional]\n[avgpool]\n[sam]\nfrom=0\n{HEAD}",
            7,
            "multiplies layer 0, which is 64x32x1, by what is 1x1x1",
        ),
        (NET + HEAD.replace("1,2", "1,inf"), 10, "anchors=1,inf,3,4: expected numbers separated"),
        (NET + HEAD.replace("1,2", "1,x"), 10, "anchors=1,x,3,4: expected numbers separated"),
        (NET + HEAD.replace("=16", "=many"), 6, "filters=many: expected an integer"),
        (NET + HEAD.replace("=16", "=0"), 6, "filters=0: expected at least 1"),
        (NET.replace("64", "0") + HEAD, 2, "0x32 is not positive"),
        (
            f"{NET.replace('64', '63')}[convolutional]\n[maxpool]\nstride=2\n[upsample]\n"
            f"[route]\nlayers=-1,-3\n{HEAD}",
            2,
            "63x32.*multiples of 2",
        ),
        (NET.replace("=3\n", "=2\n") + HEAD, 4, "channels=2: pictures have 3, or 1 if"),
        (NET.replace("width=64\n", "") + HEAD, 1, r"width= is missing in \[net\]"),
        (NET.replace("height=32\n", "") + HEAD, 1, r"height= is missing in \[net\]"),
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
    with pytest.raises(ModelError, match=r"no \[yolo\], .* or \[region\] section"):
        read_cfg(cfg(tmp_path, NET + "[convolutional]\nactivation=linear\n"))


def test_the_input_may_be_grey_and_letterboxed(tmp_path: Path) -> None:
    network = read_cfg(
        cfg(tmp_path, f"{NET.replace('channels=3', 'channels=1')}letter_box=1\n{HEAD}")
    )
    assert (network.width, network.height, network.channels) == (64, 32, 1)
    assert network.letter_box
    assert not read_cfg(cfg(tmp_path, NET + HEAD)).letter_box


@pytest.mark.parametrize(
    ("keys", "beta"),
    [
        ("", None),
        ("beta_nms=0.7", None),
        ("nms_kind=default", None),
        ("nms_kind=cornersnms", None),
        ("nms_kind=greedynms", 0.6),
        ("nms_kind=greedynms\nbeta_nms=0.7", 0.6),  # box_diou has its own
        ("nms_kind=diounms", 0.6),
        ("nms_kind=diounms\nbeta_nms=0.7", 0.7),
    ],
)
def test_nms_is_of_the_kind_that_darknet_uses(
    tmp_path: Path, keys: str, beta: float | None
) -> None:
    assert read_cfg(cfg(tmp_path, f"{NET}{HEAD}{keys}")).nms_beta == beta


def test_the_last_head_says_which_nms(tmp_path: Path) -> None:
    two = [f"{HEAD}nms_kind={kind}\nbeta_nms=0.7\n" for kind in ("greedynms", "diounms")]
    route = "[route]\nlayers=0\n"
    assert read_cfg(cfg(tmp_path, NET + two[0] + route + two[1])).nms_beta == 0.7
    assert read_cfg(cfg(tmp_path, NET + two[1] + route + two[0])).nms_beta == 0.6


def test_yolov2s_head_has_anchors_in_cells(tmp_path: Path) -> None:
    text = HEAD.replace("[yolo]", "[region]").replace("1,2,3,4", "0.5,1.5,2,3") + "softmax=1\n"
    head = read_cfg(cfg(tmp_path, NET + text)).layers[1]
    assert head == Region(((0.5, 1.5), (2.0, 3.0)), 3)


def test_a_gaussian_head_has_twice_the_values(tmp_path: Path) -> None:
    text = HEAD.replace("[yolo]", "[Gaussian_yolo]").replace("=16", "=24")
    network = read_cfg(cfg(tmp_path, f"{NET}{text}yolo_point=left_top\nscale_x_y=1.1\n"))
    assert network.layers[1] == GaussianYolo(((1, 2), (3, 4)), 3, 1.1, "left_top")


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
        ("ape\nbee\ncat\n".encode("utf-16"), r"some\.names is UTF-16 text: save it as UTF-8"),
        (b"<!DOCTYPE html>", r"some\.names is a web page"),
    ],
)
def test_names_that_are_not_the_networks_are_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "some.names"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read_names(path, classes=3)


def test_a_missing_file_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none: No such file"):
        read_names(tmp_path / "none")
