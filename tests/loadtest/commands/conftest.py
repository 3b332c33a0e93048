"""A directory of pictures."""

from pathlib import Path

import pytest

from tests.support.fakes.load_target import folder_of


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "images", 12)
