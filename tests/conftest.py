"""What tests share: where the optional test data lies."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
TOOLS = ROOT.parent / "shared" / "tools"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real weights and pictures, no part of the project; without them the test is skipped."""
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    return DATA
