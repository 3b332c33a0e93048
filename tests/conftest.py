"""Fixtures that all tests share."""

import subprocess
import sys
from pathlib import Path

import pytest

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
