"""The official YOLOv4-tiny with COCO's 80 classes, and the sample photographs of the web page."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.project import ROOT

NAME = "yolov4-tiny"  # of the built-in network, and of the exported model
SAMPLES = sorted((ROOT / "service" / "web" / "samples").glob("*.jpg"))
ASTRONAUT, CAT, COFFEE = SAMPLES
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolov4-serving"


class Official(NamedTuple):
    """Darknet's files of the model."""

    cfg: Path
    weights: Path


def official_files(folder: Path) -> Official:
    """The weights, downloaded once per user, and in `folder` their `.cfg`.

    DownloadError if neither the package index nor Darknet's release page answers.
    """
    from yolov4.darknet.writer import write_cfg
    from yolov4.download.command import fetch_official
    from yolov4.network.architecture import BUILT_IN

    weights = fetch_official(NAME, CACHE)
    write_cfg(folder / f"{NAME}.cfg", BUILT_IN[NAME]())
    return Official(folder / f"{NAME}.cfg", weights)


def export_official(weights: Path, repository: Path, precision: str) -> Path:
    """Export as a user does, and return the version's directory."""
    command: list[str | Path] = [sys.executable, "-m", "yolov4", "export", "--name", NAME]
    command += ["--cfg", NAME, "--weights", weights, "--repository", repository]
    command += ["--precision", precision]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return repository / NAME / "1"
