"""What our client writes, read back by other tools."""

import json
import shutil
from pathlib import Path

import pytest
from detect_client import Client
from detect_client.cli.main import main
from detect_client.results import Result

from tests.clients.environment import run
from tests.support.inputs.official import SAMPLES
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image">{}</RectangleLabels></View>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample photographs, and a picture without objects."""
    folder = tmp_path_factory.mktemp("pictures")
    for sample in SAMPLES:
        shutil.copy(sample, folder)
    (folder / "empty.jpg").write_bytes(picture())
    return folder


@pytest.fixture(scope="module")
def found(gateway: GatewayProcess, folder: Path) -> dict[str, Result]:
    with Client(gateway.url) as client:
        return {path.name: client.detect(path) for path in sorted(folder.iterdir())}


def detect(gateway: GatewayProcess, folder: Path, out: Path, kind: str) -> None:
    assert main([str(folder), "--url", gateway.url, "--out", str(out), "--format", kind]) == 0


def test_supervision_gets_a_results_detections(gateway: GatewayProcess, photo: Path) -> None:
    with Client(gateway.url) as client:
        own = client.detect(photo).detections
    rows = run("read.py", "to_supervision", gateway.url, photo)
    assert len(rows) == len(own) >= 2
    for (label, score, class_id, box), d in zip(rows, own, strict=True):
        assert (label, class_id) == (d.label, d.class_id)
        assert score == pytest.approx(d.score, abs=1e-6)
        assert box == pytest.approx(list(d.box), abs=1e-3)


def test_supervision_reads_the_yolo_files(
    gateway: GatewayProcess, folder: Path, found: dict[str, Result], tmp_path: Path
) -> None:
    detect(gateway, folder, tmp_path, "yolo")
    read = run("read.py", "yolo", folder, tmp_path)
    assert read.keys() == found.keys()
    assert read["empty.jpg"] == []
    for name, result in found.items():
        assert [label for label, _ in read[name]] == [d.label for d in result.detections]
        for (_, box), d in zip(read[name], result.detections, strict=True):
            assert box == pytest.approx(list(d.box), abs=0.01)


def test_label_studio_accepts_the_tasks(
    gateway: GatewayProcess, folder: Path, found: dict[str, Result], tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks.json"
    detect(gateway, folder, tasks, "label-studio")
    labels = sorted({d.label for result in found.values() for d in result.detections})
    config = tmp_path / "config.xml"
    config.write_text(CONFIG.format("".join(f'<Label value="{label}"/>' for label in labels)))
    assert run("read.py", "label_studio", tasks, config) == []

    coco = run("read.py", "label_studio_to_coco", tasks, config, tmp_path)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    images = {image["id"]: Path(image["file_name"]).name for image in coco["images"]}
    read: dict[str, list[object]] = {}
    for a in coco["annotations"]:
        x, y, width, height = a["bbox"]
        row = [names[a["category_id"]], pytest.approx([x, y, x + width, y + height], abs=0.01)]
        read.setdefault(images[a["image_id"]], []).append(row)
    assert read == {
        name: [[d.label, list(d.box)] for d in result.detections]
        for name, result in found.items()
        if result.detections
    }


def test_label_studio_would_refuse_a_label_that_is_not_configured(
    gateway: GatewayProcess, folder: Path, tmp_path: Path
) -> None:
    tasks, config = tmp_path / "tasks.json", tmp_path / "config.xml"
    detect(gateway, folder, tasks, "label-studio")
    assert len(json.loads(tasks.read_text())) == 4
    config.write_text(CONFIG.format('<Label value="zebra"/>'))
    assert run("read.py", "label_studio", tasks, config)
