"""Fixtures that all tests share."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.inputs.official import Official, export_official, official_files
from tests.support.project import DATA, NEEDS_DATA, ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of `DETECT_TEST_DATA`: real weights and pictures. Unset: the test is skipped."""
    if DATA is None:
        pytest.skip(NEEDS_DATA)
    if not DATA.is_dir():
        pytest.fail(f"DETECT_TEST_DATA names {DATA}, which is not a directory")
    return DATA


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one version of a small model of random numbers, named `small`."""
    from tests.support.inputs.yolov4_models import export_arguments, write_model

    folder = tmp_path_factory.mktemp("small")
    command = [sys.executable, "-m", "yolov4"]
    command += export_arguments(write_model(folder), folder / "models")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "models"


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Official:
    """The official YOLOv4-tiny. Neither package index nor release page answers: skipped."""
    from yolov4.errors import DownloadError

    try:
        return official_files(tmp_path_factory.mktemp("official"))
    except DownloadError as error:
        pytest.skip(f"needs the package index or Darknet's release page: {error}")


@pytest.fixture(scope="session")
def coco_repository(official: Official, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the official `yolov4-tiny` in float32."""
    repository = tmp_path_factory.mktemp("coco") / "models"
    export_official(official.weights, repository, "f32")
    return repository
