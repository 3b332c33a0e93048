"""Labels and categories: synonyms, labels that are no category, classes that the model lacks."""

import json
from pathlib import Path

import pytest

from loadtest.accuracy.categories import SYNONYMS, category_of
from loadtest.accuracy.coco import read_annotations
from tests.loadtest.accuracy.coco_set import Set, by_pycocotools
from tests.support.fakes.fake_service import FakeService, Reply, Row, found


def test_labels_without_a_category_are_counted(
    coco: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(data: bytes) -> Reply:
        box = (1.0, 1.0, 9.0, 9.0)
        renamed = [("sofa" if row[0] == "couch" else row[0], *row[1:]) for row in coco.rows(data)]
        strange: list[Row] = [("unicorn", 0.5, box), ("unicorn", 0.4, box), ("ghost", 0.3, box)]
        return found([*renamed, *strange])

    with FakeService(reply) as service:
        assert coco.run(service.url) == 0
    assert coco.report["ignored_detections"] == {"unicorn": 24, "ghost": 12}
    assert coco.report["stats"]["AP"] == 1  # a sofa is a couch
    assert "ignored detections: unicorn: 24, ghost: 12" in capsys.readouterr().out


def test_classes_that_the_model_lacks(coco: Set, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --names they count as 0, with a warning; with it they are left out, and listed."""
    names = coco.folder / "the.names"
    names.write_text("car\nsofa\ntoothbrush\nunicorn\n")
    has = {"car": "car", "couch": "sofa"}

    def reply(data: bytes) -> Reply:
        return found([(has[row[0]], *row[1:]) for row in coco.rows(data) if row[0] in has])

    with FakeService(reply) as service:
        assert coco.run(service.url) == 0
        assert coco.report["stats"]["AP"] == pytest.approx(0.5)
        assert coco.report["never_detected"] == ["person", "dog"]
        said = capsys.readouterr()
        assert "without any detection count as AP 0: person, dog; if the model lacks" in said.err

        assert coco.run(service.url, "--names", str(names)) == 0
        report = coco.report
        assert report["stats"]["AP"] == 1
        assert [c["category"] for c in report["classes"]] == ["car", "couch", "toothbrush"]
        assert (report["excluded_categories"], report["never_detected"]) == (["person", "dog"], [])
        assert report["ignored_labels"] == ["unicorn"]
        assert list(report["stats"].values()) == pytest.approx(
            by_pycocotools(coco, [3, 63, 90]), abs=1e-6
        )
        said = capsys.readouterr()
        assert "excluded, the model lacks them: person, dog" in said.out
        assert "ignored, the annotations lack them: unicorn" in said.out
        assert "warning" not in said.err

        names.write_text("car\ntoothbrush\n")
        assert coco.run(service.url, "--names", str(names)) == 1
        assert "the model detects labels that --names lacks: sofa" in capsys.readouterr().err
        names.write_text("unicorn\n")
        assert coco.run(service.url, "--names", str(names)) == 1
        assert "the model detects labels that --names lacks: car, sofa" in capsys.readouterr().err


def test_a_model_without_detections(coco: Set, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeService(lambda data: found([])) as service:
        assert coco.run(service.url) == 0
    assert coco.report["stats"]["AP"] == 0
    assert coco.report["never_detected"] == ["person", "car", "dog", "couch"]
    assert json.loads((coco.out / "detections.json").read_text()) == []


def test_every_name_of_darknets_coco_names_is_a_category(data: Path) -> None:
    """Each class has its own category: names map the 80 classes to COCO's 90 ids."""
    folder = data / "coco"
    annotations = read_annotations(
        folder / "instances_val2017_103.json", folder / "val2017", limit=None
    )
    names = (data / "darknet" / "coco.names").read_text().split("\n")[:80]
    ids = [category_of(name, annotations.categories) for name in names]
    assert ids == sorted(annotations.categories)
    assert (ids[0], ids[11], ids[79]) == (1, 13, 90)
    assert {category_of(name, annotations.categories) for name in SYNONYMS} <= set(ids)
