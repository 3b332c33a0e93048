import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.inputs.yolov4_models import SMALL_CFG
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg
from yolov4.network.network import Network, shapes
from yolov4.verify.opencv import compare_with_opencv
from yolov4.verify.random_weights import random_vector

GAUSSIAN = """
[net]
width=32
height=32
channels=3
[convolutional]
filters=12
activation=linear
[Gaussian_yolo]
num=1
anchors=3,4
classes=3
"""


def test_every_cfg_of_a_folder_is_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "accepted.cfg": SMALL_CFG,
        "again.cfg": SMALL_CFG,
        "unread.cfg": GAUSSIAN,
        "xnor.cfg": SMALL_CFG.replace("stride=2\npad=1\nact", "stride=2\nxnor=1\npad=1\nact", 1),
        "classifier.cfg": "[net]\nwidth=32\nheight=32\nchannels=3\n[avgpool]\n[softmax]\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main(["cfgs", str(tmp_path), "--side", "96"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("2 of 3 detectors are accepted.\n")
    numbers = re.search(r"\| `accepted.cfg` \| (\S+) \| (\S+) \| (\S+) \|", table)
    assert numbers
    assert all(0 < float(number) < 1e-3 for number in numbers.groups())
    assert "| `unread.cfg` | OpenCV: " in table
    assert "| `xnor.cfg` | line 12: xnor=1 in [convolutional] is not supported |" in table
    assert "| `classifier.cfg` | line 6: [softmax] is not supported |" in table
    assert "The same files: `again.cfg` and `accepted.cfg`." in table


def test_a_folder_without_cfgs_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cfgs", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: no .cfg files in {tmp_path}\n"


def test_another_decoding_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.cfg").write_text(SMALL_CFG)
    assert compare_with_opencv(tmp_path / "net.cfg", 96).boxes < 1e-3
    monkeypatch.setattr("yolov4.graph.decode._scaled", lambda head, xy: xy)
    difference = compare_with_opencv(tmp_path / "net.cfg", 96)
    assert difference.heads < 1e-3
    assert difference.boxes > 0.01


def test_random_weights_say_something_in_every_head(tmp_path: Path) -> None:
    (tmp_path / "net.cfg").write_text(SMALL_CFG)
    network: Network = read_cfg(tmp_path / "net.cfg")
    vector = random_vector(network)
    assert np.isfinite(vector).all()
    assert not np.array_equal(vector, random_vector(network, seed=1))
    assert len(shapes(network)) == 19
