"""A model to train, and pictures."""

from pathlib import Path

import pytest

from tests.yolov4.train.small import START, START_NAMES
from yolov4.darknet.writer import write_model
from yolov4.demo.scenes import write_scenes
from yolov4.train.forward import initial


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six scenes and of a model to start from."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(range(6), folder, processes=1)
    write_model(folder, "start", START, initial(START, 1), START_NAMES, seen=0)
    return folder
