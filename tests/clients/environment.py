"""The environment that has other services' clients and other tools' readers."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
if not PYTHON.exists():  # said once for each file of tests
    pytest.skip("needs .venv-clients: make test-clients", allow_module_level=True)


def run(script: str, *arguments: str | Path) -> Any:
    """The JSON that a script of this folder prints there; it can import our client."""
    command = [str(PYTHON), str(ROOT / "tests" / "clients" / script), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
