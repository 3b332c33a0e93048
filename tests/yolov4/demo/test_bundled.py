"""The bundled model as `make run` serves it: its files, its pictures, and how good it is."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from loadtest.__main__ import main
from tests.support.project import ROOT, free_port
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_weights
from yolov4.demo.scenes import NAMES, write_scenes

DEMO = ROOT / "yolov4" / "demo"
MOST_BYTES = 3_000_000
# In shapes-1.jpg; a tiny umbrella lies beside the arrow.
SHOWN = ["arrow", "crescent", "cross", "key", "star"]
FRESH = range(3_000_000, 3_000_080)  # never trained on, and not those the README's AP is of


class Service:
    """What `make run` starts, and what it printed."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self.printed: list[str] = []
        assert process.stdout
        for line in process.stdout:
            self.printed.append(line)
            if "make run MODEL=" in line:
                return
        raise AssertionError("".join(self.printed))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Exported and served by the lines of the Makefile."""
    repository = tmp_path_factory.mktemp("models")
    command: list[str | Path] = [
        *(sys.executable, "-m", "yolov4", "prepare", "demo", "--repository", repository),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "service.run",
        "--model=demo",
        "--repository",
        repository,
        f"--port={port}",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield Service(process, f"http://localhost:{port}")
        finally:
            process.terminate()


def test_its_files_are_darknets_and_small() -> None:
    network = read_cfg(DEMO / "demo.cfg")
    read_weights(DEMO / "demo.weights", network)
    assert read_names(DEMO / "demo.names", network.classes) == list(NAMES)
    assert sum(path.stat().st_size for path in DEMO.glob("demo.*")) <= MOST_BYTES
    assert len(network.heads) == 3


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_printed_curl_lines_work(demo: Service, tmp_path: Path) -> None:
    as_json, drawn = (line.strip() for line in demo.printed if "curl" in line)
    done = subprocess.run(shlex.split(as_json), cwd=ROOT, check=True, capture_output=True)
    found = json.loads(done.stdout)["detections"]
    labels = sorted(thing["label"] for thing in found if thing["score"] >= 0.5)
    assert [label for label in labels if label != "umbrella"] == SHOWN
    picture = tmp_path / "detections.jpg"
    assert drawn.endswith("-o detections.jpg")
    command = shlex.split(drawn)[:-1]
    subprocess.run([*command, str(picture)], cwd=ROOT, check=True, capture_output=True)
    with Image.open(picture) as ours, Image.open(DEMO / "pictures" / "shapes-1.jpg") as theirs:
        assert ours.size == theirs.size


def test_how_to_serve_coco_is_printed(demo: Service) -> None:
    (line,) = (line for line in demo.printed if "make run MODEL=" in line)
    assert line.endswith("COCO's 80 classes: make run MODEL=yolov4-tiny\n")


def test_average_precision_on_fresh_scenes(demo: Service, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    truth = write_scenes(FRESH, tmp_path)
    arguments = ["accuracy", "--url", demo.url, "--images", str(tmp_path), "--out", str(tmp_path)]
    arguments += ["--annotations", str(truth), "--names", str(DEMO / "demo.names")]
    assert main(arguments) == 0
    stats = json.loads((tmp_path / "accuracy.json").read_text())["stats"]
    # Of a thousand scenes the README has more; eighty scatter.
    assert stats["AP"] > 0.72
    assert stats["AP50"] > 0.94
