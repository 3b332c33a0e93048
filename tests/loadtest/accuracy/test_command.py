"""`python -m loadtest accuracy` against a service whose answers are known, over real sockets."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from loadtest.__main__ import main
from loadtest.accuracy.answers import Answers
from loadtest.accuracy.categories import SYNONYMS, category_of
from loadtest.accuracy.coco import read_annotations
from loadtest.commands.terminal import progress_bar
from tests.support.fakes.fake_backend import FakeBackend, answer
from tests.support.fakes.fake_service import FakeService, Reply, Row, found, problem
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT, free_port

CATEGORIES = {1: "person", 3: "car", 18: "dog", 63: "couch", 90: "toothbrush"}


class Set:
    """Pictures on a disk, and objects on them, drawn from a seed: a file in COCO's format."""

    def __init__(self, folder: Path, pictures: int = 12) -> None:
        self.folder = folder
        self.out = folder / "out"
        numbers = random.Random(7)
        self.objects: list[dict[str, Any]] = []
        self.images = []
        for image_id in range(100, 100 + pictures):
            name = f"{image_id}.jpg"
            (folder / name).write_bytes(b"picture %d" % image_id)
            self.images.append({"id": image_id, "file_name": name, "width": 640, "height": 480})
            for category in (1, 3, 18, 63):
                x, y = numbers.randrange(400), numbers.randrange(300)
                side = numbers.choice([20, 60, 150])  # small, medium, large
                self.objects.append(
                    {
                        "id": len(self.objects),  # the first is 0, as some tools begin
                        "image_id": image_id,
                        "category_id": category,
                        "bbox": [x, y, side, side + 10],
                        "area": side * (side + 10),
                        "iscrowd": 0,
                    }
                )
        self.write()

    def write(self) -> None:
        categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
        content = {"images": self.images, "categories": categories, "annotations": self.objects}
        (self.folder / "instances.json").write_text(json.dumps(content))

    def rows(self, data: bytes, shift: float = 0) -> list[Row]:
        """Detections exactly on the objects, or beside them by `shift` of their width."""
        image_id = int(data.split()[1])
        rows = []
        for o in self.objects:
            if o["image_id"] == image_id:
                x, y, width, height = o["bbox"]
                x += round(shift * width, 2)
                name = CATEGORIES[o["category_id"]]
                rows.append((name, 0.9 - o["id"] / 1000, (x, y, x + width, y + height)))
        return rows

    def run(self, url: str, *more: str) -> int:
        return main([*self.arguments(url), *more])

    def arguments(self, url: str) -> list[str]:
        return [
            *("accuracy", "--url", url, "--images", str(self.folder), "--out", str(self.out)),
            *("--annotations", str(self.folder / "instances.json"), "--patience", "0.5"),
        ]

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.out / "accuracy.json").read_text())
        return report


@pytest.fixture
def coco(tmp_path: Path) -> Set:
    return Set(tmp_path)


def by_pycocotools(coco: Set, categories: Sequence[int] | None = None) -> list[float]:
    """The twelve numbers of detections.json as a script of anybody's would compute them."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(coco.folder / "instances.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(coco.out / "detections.json")), "bbox")
        if categories:
            evaluation.params.catIds = list(categories)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(number) for number in evaluation.stats]


def test_perfect_detections_are_an_ap_of_one(coco: Set, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url, "--callers", "3") == 0
    assert service.targets == {("/detect?score_threshold=0.001&max_detections=100", "image/jpeg")}
    assert service.connections <= 2 + 3  # the first picture's, /model's, and one per caller
    assert sorted(service.received[1:]) == sorted(p.read_bytes() for p in coco.folder.glob("*.jpg"))
    report = coco.report
    stats = report["stats"]
    assert stats.pop("AR_1") == stats.pop("AR_10") == stats.pop("AR_100") == 1
    assert set(stats.values()) == {1}
    assert len(stats) == 9
    assert report["model"] == {"name": "fake", "version": 1}
    assert (report["pictures"], report["asked"], report["errors"]) == (12, 12, {})
    assert report["images_per_s"] == pytest.approx(12 / report["wall_s"], rel=0.01)
    assert report["settings"]["callers"] == 3
    assert report["command"].startswith("python -m loadtest accuracy --url http://")
    person, *_, toothbrush = report["classes"]
    assert person == {
        "category": "person",
        "id": 1,
        "AP": 1.0,
        "AP50": 1.0,
        "objects": 12,
        "detections": 12,
    }
    assert toothbrush["AP"] is None  # there is none, so it is not 0
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line.startswith(" Average ")]
    assert len(lines) == 12
    assert lines[0].endswith("= 1.000")
    assert "warning" not in said.err


def test_shifted_boxes_score_what_pycocotools_says(coco: Set) -> None:
    coco.objects[0]["id"] = 9999  # pycocotools by itself takes the id 0 for `not found`
    coco.write()
    with FakeService(lambda data: found(coco.rows(data, int(data.split()[1]) % 5 / 10))) as service:
        assert coco.run(service.url) == 0
    stats = coco.report["stats"]
    assert list(stats.values()) == pytest.approx(by_pycocotools(coco), abs=1e-6)
    assert 0.2 < stats["AP"] < 0.8
    assert stats["AP50"] > stats["AP75"]
    first = json.loads((coco.out / "detections.json").read_text())[0]
    assert first["bbox"] == coco.objects[0]["bbox"]
    assert (first["image_id"], first["category_id"]) == (100, 1)


def test_a_part_of_the_pictures(coco: Set) -> None:
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url, "--limit", "5") == 0
        assert len(set(service.received)) == 5
        assert (coco.report["pictures"], coco.report["stats"]["AR_100"]) == (5, 1)
        assert coco.run(service.url, "--limit", "8") == 0
        assert len(set(service.received)) == 8
        assert (coco.report["pictures"], coco.report["asked"]) == (8, 3)


def test_refused_pictures_are_told_and_are_status_1(
    coco: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """So are pictures that the service sees turned: their boxes are in other pixels."""

    def reply(data: bytes) -> Reply:
        if data == b"picture 103":
            return problem(400, "The picture's data is damaged or ends early.")
        return found(coco.rows(data), (480, 640) if data == b"picture 105" else (640, 480))

    with FakeService(reply) as service:
        assert coco.run(service.url) == 1
        said = capsys.readouterr().err
        assert "failed: 103.jpg: The picture's data is damaged or ends early." in said
        assert "failed: 105.jpg: 480 x 640 pixels for the service, in the annotations 640" in said
        assert "2 pictures failed and count as without detections" in said
        report = coco.report
        assert report["errors"] == {"400": 1, "size": 1}
        assert [f["image_id"] for f in report["failed"]] == [103, 105]
        assert report["stats"]["AR_100"] == pytest.approx(10 / 12)
        # Once more: only those that failed are asked for.
        before = len(service.received)
        assert coco.run(service.url, "--allow-errors") == 0
        assert set(service.received[before:]) == {b"picture 103", b"picture 105"}


def test_a_full_service_is_asked_again_when_it_says(coco: Set) -> None:
    """And one that hangs up without an answer, as on a connection that was idle for too long."""
    busy = {b"picture 100": 2, b"picture 104": 3, b"picture 107": 1}
    asked: list[float] = []  # when, for picture 107

    def reply(data: bytes) -> Reply:
        if data == b"picture 107":
            asked.append(time.monotonic())
        if busy.get(data, 0):
            busy[data] -= 1
            if data == b"picture 104":
                raise ConnectionError
            return problem(503, "The queue is full.", "1" if data == b"picture 107" else "0")
        return found(coco.rows(data))

    with FakeService(reply) as service:
        assert coco.run(service.url, "--patience", "10") == 0
    assert coco.report["stats"]["AP"] == 1
    assert len(service.received) == 12 + 1 + 6
    assert asked[1] - asked[0] >= 1


def test_a_service_that_stays_away_costs_one_sentence_and_no_answer(
    coco: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(data: bytes) -> Reply:
        if data > b"picture 105":
            return problem(503, "No model server answers.", "1")
        return found(coco.rows(data))

    with FakeService(reply) as service:
        assert coco.run(service.url, "--callers", "1") == 1
        said = capsys.readouterr().err
        assert "(503): No model server answers. (retried for 0.5 s)" in said
        assert "6 of 12 pictures are answered in" in said
        assert not (coco.out / "accuracy.json").exists()
        service.reply = lambda data: found(coco.rows(data))
        before = len(service.received)
        assert coco.run(service.url) == 0
        sent = set(service.received[before:])
        assert sent == {b"picture %d" % n for n in range(106, 112)}
        assert coco.report["stats"]["AP"] == 1
        assert coco.report["asked"] == 6
        capsys.readouterr()
        # Again with everything answered: evaluated anew, and said so; or all asked anew.
        assert coco.run(service.url) == 0
        assert "12 pictures were answered before (20" in capsys.readouterr().err
        assert (coco.report["asked"], coco.report["images_per_s"]) == (0, None)
        assert coco.run(service.url, "--resume", "no") == 0
        assert coco.report["asked"] == 12


def test_a_crash_tears_one_line_at_most(coco: Set) -> None:
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url, "--limit", "6", "--callers", "1") == 0
        partial = coco.out / "detections.partial.jsonl"
        partial.write_bytes(partial.read_bytes()[:-20])
        before = len(service.received)
        assert coco.run(service.url, "--callers", "1") == 0
        sent = set(service.received[before:])
        assert sent == {b"picture %d" % n for n in range(105, 112)}
    assert coco.report["stats"]["AP"] == 1
    lines = [json.loads(line) for line in partial.read_text().splitlines()]
    assert [line.get("image_id") for line in lines] == [None, *range(100, 112)]


def test_an_interrupt_keeps_what_was_answered(coco: Set) -> None:
    release = threading.Event()

    def reply(data: bytes) -> Reply:
        if data > b"picture 103":
            release.wait(10)
        return found(coco.rows(data))

    with FakeService(reply) as service:
        command = [sys.executable, "-m", "loadtest", *coco.arguments(service.url)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        partial = coco.out / "detections.partial.jsonl"
        deadline = time.monotonic() + 20
        while not partial.exists() or partial.read_text().count("\n") < 5:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        release.set()
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in said
        kept = {json.loads(line)["image_id"] for line in partial.read_text().splitlines()[1:]}
        assert f"{len(kept)} of 12 pictures are answered in" in said
        before = len(service.received)
        assert coco.run(service.url) == 0
        left = {b"picture %d" % n for n in range(100, 112) if n not in kept}
        assert set(service.received[before:]) == left


@pytest.mark.parametrize("version", [1, 2])
def test_answers_of_another_run_are_not_mixed_in(
    coco: Set, version: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not of another version of the model, and not of another file of annotations."""
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url, "--limit", "3") == 0
        service.reply = lambda data: found(coco.rows(data), version=version)
        if version == 1:
            coco.objects.pop()
            coco.write()
        assert coco.run(service.url) == 1
        said = capsys.readouterr().err
        assert "--resume no to start over" in said
        assert ("'version': 1" in said) == (version == 2)
        assert ("annotations_sha256" in said) == (version == 1)
        assert coco.run(service.url, "--resume", "no") == 0
        assert coco.report["model"]["version"] == version


def test_two_runs_do_not_write_one_file(coco: Set, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url) == 0
        partial = coco.out / "detections.partial.jsonl"
        before = partial.read_bytes()
        with Answers(partial, resume=True) as answers:
            answers.start({})
            assert coco.run(service.url, "--resume", "no") == 1
        assert "another run is writing" in capsys.readouterr().err
    assert partial.read_bytes() == before


def test_another_service_is_not_taken_for_the_first(
    coco: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two targets may well serve a model of one name and version."""
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url) == 0
    with FakeService(lambda data: found([])) as service:
        assert coco.run(service.url) == 1
    assert f"this run is for '{service.url}'" in capsys.readouterr().err


def test_a_version_that_changes_under_way_stops_the_run(
    coco: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeService(
        lambda data: found(coco.rows(data), version=2 if data > b"picture 107" else 1)
    ) as service:
        assert coco.run(service.url) == 1
    said = capsys.readouterr().err
    assert "the service now answers with fake version 2, and did with fake version 1" in said
    assert not (coco.out / "accuracy.json").exists()


def test_labels_that_are_no_category_are_counted(
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


def test_a_model_that_sees_nothing(coco: Set, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeService(lambda data: found([])) as service:
        assert coco.run(service.url) == 0
    assert coco.report["stats"]["AP"] == 0
    assert coco.report["never_detected"] == ["person", "car", "dog", "couch"]
    assert json.loads((coco.out / "detections.json").read_text()) == []


def test_every_name_of_darknets_coco_names_is_a_category(data: Path) -> None:
    """And each category is one class's: the map from 80 classes to 90 ids comes of the names."""
    folder = data / "coco"
    annotations = read_annotations(
        folder / "instances_val2017_103.json", folder / "val2017", limit=None
    )
    names = (data / "darknet" / "coco.names").read_text().split("\n")[:80]
    ids = [category_of(name, annotations.categories) for name in names]
    assert ids == sorted(annotations.categories)
    assert (ids[0], ids[11], ids[79]) == (1, 13, 90)
    assert {category_of(name, annotations.categories) for name in SYNONYMS} <= set(ids)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (lambda _: problem(404, "Not Found"), "returned 404: Not Found; is it the detection"),
        (lambda _: (200, {"predictions": []}, None), "returned 200 without detections"),
        (lambda _: problem(415, "The picture is a GIF."), "rejected every picture"),
        (lambda _: problem(504, "No answer in time."), "(504): No answer in time. (retried"),
    ],
)
def test_somebody_elses_answers(
    coco: Set,
    reply: Callable[[bytes], Reply],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeService(reply) as service:
        assert coco.run(service.url) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:{port}", "error: http://127.0.0.1:{port} cannot be reached: "),
        ("http://nobody.invalid", "error: http://nobody.invalid cannot be reached: "),
        (
            "localhost:8000",
            "error: --url localhost:8000: expected a URL such as http://localhost:8000",
        ),
        ("http://localhost:port", "error: --url http://localhost:port: Port could not be cast"),
    ],
)
def test_a_wrong_url(
    coco: Set, url: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    assert coco.run(url.format(port=port)) == 1
    said = capsys.readouterr().err
    assert said.startswith(sentence.format(port=port))
    assert said.count("\n") == 1


def test_what_is_missing_is_said_before_anything_is_sent(
    coco: Set, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeService(lambda data: found([])) as service:
        assert coco.run(service.url, "--annotations", str(coco.folder / "no.json")) == 1
        assert "no.json: No such file or directory" in capsys.readouterr().err
        assert coco.run(service.url, "--annotations", str(coco.folder / "100.jpg")) == 1
        assert "100.jpg is not a COCO annotation file" in capsys.readouterr().err
        (coco.folder / "104.jpg").unlink()
        assert coco.run(service.url) == 1
        assert "1 of 12 pictures are missing from" in capsys.readouterr().err
        monkeypatch.delitem(sys.modules, "loadtest.accuracy.average_precision")
        monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
        assert coco.run(service.url) == 1
        assert "pycocotools is not installed: " in capsys.readouterr().err
    assert service.received == []


def test_progress_in_a_log_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(200, 50) as progress:
        for _ in range(150):
            progress.update()
    said = capsys.readouterr().err
    assert "200/200" in said
    assert said.count("/200") <= 2  # the first and the last


def test_through_the_real_gateway(tmp_path: Path) -> None:
    """JPEG, PNG and WebP go through; stored turned, damaged or too large, a picture fails."""
    coco = Set(tmp_path, pictures=6)
    files = [
        picture(640, 480),
        picture(640, 480, kind="PNG"),
        picture(640, 480, kind="WEBP"),
        picture(640, 480, orientation=6),
        picture(640, 480)[:90],
        os.urandom(8_000_000),
    ]
    for image, content in zip(coco.images, files, strict=True):
        (tmp_path / str(image["file_name"])).write_bytes(content)
    row = ("dog", 16, 0.75, (10.25, 20.5, 60.0, 90.0))

    with (
        FakeBackend(lambda _: answer([row])) as backend,
        GatewayProcess(backend=backend.target, max_upload_bytes=1_000_000) as gateway,
    ):
        assert coco.run(gateway.url, "--patience", "10") == 1
    report = coco.report
    assert report["model"] == {"name": "yolov4", "version": 3}
    assert report["errors"] == {"size": 1, "400": 1, "413": 1}
    assert "The limit is 1000000 bytes" in report["failed"][-1]["reason"]
    results = json.loads((coco.out / "detections.json").read_text())
    assert [result["image_id"] for result in results] == [100, 101, 102]
    box = [10.25, 20.5, 49.75, 69.5]
    assert results[0] == {"image_id": 100, "category_id": 18, "bbox": box, "score": 0.75}
