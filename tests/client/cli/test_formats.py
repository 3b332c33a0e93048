"""Every output format of a folder run, read back as its readers do."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from detect_client.cli.formats.labels import canonical
from detect_client.cli.main import main
from PIL import Image
from pycocotools.coco import COCO

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        yield gateway.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(picture(100, 80))
    (folder / "sub" / "b.png").write_bytes(picture(64, 48, kind="PNG", orientation=1))
    return folder


def run(url: str, folder: Path, out: Path, *more: str) -> None:
    assert main([str(folder), "--url", url, "--out", str(out), *more]) == 0


def test_csv(url: str, folder: Path, tmp_path: Path) -> None:
    run(url, folder, tmp_path / "out.csv")
    lines = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(line["file"], line["label"]) for line in lines] == [
        *(("a.jpg", "dog"), ("a.jpg", "cat")),
        *(("sub/b.png", "dog"), ("sub/b.png", "cat")),
    ]
    dog = lines[0]
    assert [float(dog[side]) for side in ("x_min", "y_min", "x_max", "y_max")] == [
        *(10.25, 20.5, 60.0, 80.0)
    ]
    assert (dog["width"], dog["height"], dog["score"]) == ("100", "80", "0.75")


def test_coco_data_set_is_loaded_by_pycocotools(url: str, folder: Path, tmp_path: Path) -> None:
    run(url, folder, tmp_path / "out.json")
    coco = COCO(tmp_path / "out.json")
    assert [coco.imgs[i]["file_name"] for i in coco.getImgIds()] == ["a.jpg", "sub/b.png"]
    assert {c["id"]: c["name"] for c in coco.cats.values()} == {16: "cat", 17: "dog"}
    boxes = [a["bbox"] for a in coco.loadAnns(coco.getAnnIds(imgIds=[1], catIds=[17]))]
    assert boxes == [[10.25, 20.5, 49.75, 59.5]]


def test_coco_results_have_the_annotations_ids(url: str, folder: Path, tmp_path: Path) -> None:
    annotations = {
        "images": [
            {"id": 139, "file_name": "a.jpg", "width": 100, "height": 80},
            {"id": 7, "file_name": "sub/b.png", "width": 64, "height": 48},
        ],
        "categories": [{"id": 18, "name": "Dog"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [],
    }
    (tmp_path / "instances.json").write_text(json.dumps(annotations))
    out = tmp_path / "results.json"
    run(url, folder, out, "--annotations", str(tmp_path / "instances.json"))
    found = json.loads(out.read_text())
    assert [(r["image_id"], r["category_id"]) for r in found] == [(139, 18), (7, 18)]
    loaded = COCO(tmp_path / "instances.json").loadRes(str(out))
    assert len(loaded.anns) == 2


def test_annotations_that_do_not_fit_are_refused_before_anything_is_sent(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "instances.json"
    arguments = [str(folder), "--url", url, "--out", str(tmp_path / "o.json")]
    for text, sentence in [
        ('{"images": [], "categories": []}', "does not list a.jpg and 1 more"),
        ("[1]", "is not a COCO annotation file"),
    ]:
        file.write_text(text)
        assert main([*arguments, "--annotations", str(file)]) == 1
        assert sentence in capsys.readouterr().err
    assert main([*arguments[:-1], "o.csv", "--annotations", str(file)]) == 1
    assert "--annotations is for --format coco" in capsys.readouterr().err


def test_yolo(url: str, folder: Path, tmp_path: Path) -> None:
    run(url, folder, tmp_path / "labels", "--format", "yolo")
    dog, cat = (tmp_path / "labels" / "a.txt").read_text().splitlines()
    assert [float(v) for v in dog.split()] == [16, 0.35125, 0.628125, 0.4975, 0.74375, 0.75]
    assert cat.startswith("15 ")
    assert (tmp_path / "labels" / "sub" / "b.txt").exists()
    names = (tmp_path / "labels" / "classes.txt").read_text().splitlines()
    assert (len(names), names[15], names[16]) == (17, "cat", "dog")
    data = yaml.safe_load((tmp_path / "labels" / "data.yaml").read_text())
    assert data == {"names": names}


def test_yolo_refuses_two_pictures_of_one_name(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.png").write_bytes(picture(kind="PNG"))
    out = str(tmp_path / "labels")
    assert main([str(folder), "--url", url, "--out", out, "--format", "yolo"]) == 1
    assert "a.jpg and a.png would both be a.txt" in capsys.readouterr().err


def test_label_studio(url: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "tasks.json"
    run(url, folder, out, "--format", "label-studio")
    first, second = json.loads(out.read_text())
    assert second["data"]["image"] == "/data/local-files/?d=pictures/sub/b.png"
    (prediction,) = first["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("yolov4-3", 0.75)
    dog = prediction["result"][0]
    assert dog["value"] == {
        "x": 10.25,
        "y": 25.625,
        "width": 49.75,
        "height": 74.375,
        "rotation": 0,
        "rectanglelabels": ["dog"],
    }
    assert (dog["original_width"], dog["original_height"], dog["type"]) == (
        *(100, 80, "rectanglelabels"),
    )


def test_pictures(url: str, folder: Path, tmp_path: Path) -> None:
    run(url, folder, tmp_path / "drawn")
    for name, size in [("a.jpg", (100, 80)), ("sub/b.png.jpg", (64, 48))]:
        with Image.open(tmp_path / "drawn" / name) as image:
            assert image.size == size
    assert not list((tmp_path / "drawn").rglob("*.part"))


def test_pictures_are_not_written_over(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--url", url, "--out", str(folder)]) == 1
    assert "would be replaced" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "word"),
    [("motorbike", "motorcycle"), ("TVmonitor", "tv"), ("Dog", "dog"), ("sofa", "couch")],
)
def test_darknets_words_are_cocos(label: str, word: str) -> None:
    assert canonical(label) == word
