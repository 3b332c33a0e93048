"""The compilers' images are built without weights only if no source answered."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

DOCKERFILES = ["Dockerfile.g4", "Dockerfile.inf1", "docker/Dockerfile.cpu"]


@pytest.mark.parametrize("name", DOCKERFILES)
@pytest.mark.parametrize(("status", "built"), [(0, True), (3, True), (2, False), (1, False)])
def test_only_status_3_is_passed_over(name: str, status: int, built: bool, tmp_path: Path) -> None:
    text = (ROOT / name).read_text().replace("\\\n", "")
    (step,) = re.findall(r"^RUN (python -m yolov4 download .*)$", text, re.MULTILINE)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", step], env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) is built
    assert ("could not be downloaded" in done.stdout) is (status == 3)
