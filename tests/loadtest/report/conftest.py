"""Reports in a directory of the test's own."""

from pathlib import Path

import pytest

from tests.loadtest.report.pages import Reports


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path)
