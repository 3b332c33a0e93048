"""A small COCO set in a directory of the test's own."""

from pathlib import Path

import pytest

from tests.loadtest.accuracy.coco_set import Set


@pytest.fixture
def coco(tmp_path: Path) -> Set:
    return Set(tmp_path)
