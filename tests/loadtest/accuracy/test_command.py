"""`python -m loadtest accuracy` against a service with known answers, over real sockets."""

import json
import os
import time
from pathlib import Path

import pytest

from loadtest.commands.terminal import progress_bar
from tests.loadtest.accuracy.coco_set import Set, by_pycocotools
from tests.support.fakes.fake_backend import FakeBackend, answer
from tests.support.fakes.fake_service import FakeService, Reply, found, problem
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


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
    assert toothbrush["AP"] is None  # undefined without objects, not 0
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


def test_limit_evaluates_the_first_pictures(coco: Set) -> None:
    with FakeService(lambda data: found(coco.rows(data))) as service:
        assert coco.run(service.url, "--limit", "5") == 0
        assert len(set(service.received)) == 5
        assert (coco.report["pictures"], coco.report["stats"]["AR_100"]) == (5, 1)
        assert coco.run(service.url, "--limit", "8") == 0
        assert len(set(service.received)) == 8
        assert (coco.report["pictures"], coco.report["asked"]) == (8, 3)


def test_failed_pictures_are_listed_and_the_exit_status_is_1(
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
        # A second run sends only the failed pictures.
        before = len(service.received)
        assert coco.run(service.url, "--allow-errors") == 0
        assert set(service.received[before:]) == {b"picture 103", b"picture 105"}


def test_a_full_service_is_retried_after_its_retry_after(coco: Set) -> None:
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
