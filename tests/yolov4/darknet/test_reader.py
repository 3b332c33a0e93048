from pathlib import Path

import pytest

from yolov4.darknet.reader import read_cfg, read_names
from yolov4.errors import ModelError, ModelWarning
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shortcut, Upsample

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
    with pytest.raises(ModelError, match=r"no \[yolo\] section"):
        read_cfg(cfg(tmp_path, NET + "[convolutional]\nactivation=linear\n"))


def test_letter_box_is_not_done_and_the_user_hears_of_it(tmp_path: Path) -> None:
    with pytest.warns(ModelWarning, match=r"some\.cfg, line 5: letter_box=1"):
        network = read_cfg(cfg(tmp_path, f"{NET}letter_box=1\n{HEAD}"))
    assert (network.width, network.height) == (64, 32)


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
