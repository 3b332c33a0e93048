"""The oldest TensorFlow this is for, Inf1's: 2.10.1 with Python 3.10, in a process of its own."""

import os
import subprocess
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import pytest

from tests.support.inputs.yolov4_models import export_arguments, load, write_model
from tests.support.project import ROOT
from yolov4.__main__ import main

OLD_PYTHON = ROOT / ".venv310" / "bin" / "python"

# Loads a version and saves what it finds in a picture; run by the old Python from the root.
PREDICT = """
import sys
from pathlib import Path
import numpy as np
from tests.support.inputs.yolov4_models import load
version, picture, answer = map(Path, sys.argv[1:])
np.savez(answer, **load(version)([picture.read_bytes()]))
"""


def old_python(*arguments: str) -> str:
    if not OLD_PYTHON.exists():
        pytest.skip("needs .venv310: run `make venv310`")
    done = subprocess.run(
        [OLD_PYTHON, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_tensorflows_export_the_same_model(tmp_path: Path) -> None:
    files = write_model(tmp_path)
    old, new = tmp_path / "old", tmp_path / "new"
    assert "19 layers" in old_python("-m", "yolov4", *export_arguments(files, old))
    assert '"tensorflow": "2.10.1"' in (old / "small/1/assets.extra/model.json").read_text()
    assert main(export_arguments(files, new)) == 0

    picture = tmp_path / "picture.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    cv2.imwrite(str(picture), cv2.resize(noise, (140, 90), interpolation=cv2.INTER_CUBIC))
    wanted = load(new / "small" / "1")([picture.read_bytes()])
    assert wanted["num_detections"][0] > 10

    old_python("-c", PREDICT, str(old / "small" / "1"), str(picture), str(tmp_path / "answer.npz"))
    by_old = dict(np.load(tmp_path / "answer.npz", allow_pickle=True))
    by_new = load(old / "small" / "1")([picture.read_bytes()])  # what 2.10.1 wrote, read today
    for answer in (by_old, by_new):
        assert answer["num_detections"] == wanted["num_detections"]
        np.testing.assert_array_equal(answer["labels"], wanted["labels"])
        np.testing.assert_array_equal(answer["classes"], wanted["classes"])
        np.testing.assert_allclose(answer["scores"], wanted["scores"], rtol=1e-4)
        np.testing.assert_allclose(answer["boxes"], wanted["boxes"], rtol=1e-4, atol=1e-2)
