"""`python -m loadtest throughput` against a service whose answers are known, over real sockets."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadtest.__main__ import main
from tests.loadtest.accuracy.coco_set import Set
from tests.support.fakes.fake_service import Reply, found, problem
from tests.support.fakes.load_target import LoadTarget, folder_of, run_json
from tests.support.project import free_port

KEYS = {
    *("schema", "kind", "command", "date", "commit", "ended", "label", "host", "target"),
    *("settings", "seed", "pictures", "windows", "histogram", "search", "summary", "accuracy"),
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "images", 12)


def throughput(service: LoadTarget | str, images: Path, *more: str) -> int:
    url = service if isinstance(service, str) else service.url
    out = ("--out", str(images.parent / "out"))
    return main(["throughput", "--url", url, "--images", str(images), *out, *more])


def test_images_per_second_are_all_pictures_by_the_clock(images: Path) -> None:
    with LoadTarget(takes_s=0.02) as service:
        begun = time.perf_counter()
        assert throughput(service, images, "--pictures", "203", "--label", "mine") == 0
        around_s = time.perf_counter() - begun
        # 8 of the warm-up, and 203: the last batch is one of 3.
        assert len(service.received) == 8 + 203
        assert service.requests == 1 + 26
    run = run_json(images)
    assert set(run) == KEYS
    assert (run["schema"], run["kind"], run["ended"]) == (1, "throughput", "complete")
    assert (run["label"], run["seed"], run["accuracy"], run["search"]) == ("mine", 0, None, [])
    assert run["target"] == {
        "url": service.url,
        "model": "fake",
        "version": 1,
        "precision": None,
    }
    assert run["command"].startswith("python -m loadtest throughput --url http://")
    assert (run["pictures"]["count"], len(run["pictures"]["sha256"])) == (12, 64)
    assert run["settings"]["batch"] == 8
    assert run["settings"]["images"] == str(images)
    assert set(run["host"]) == {"cpu", "cores", "memory_mb", "kernel", "gpu", "neuron"}
    summary = run["summary"]
    assert (summary["images"], summary["errors"], summary["restarts_seen"]) == (203, {}, 0)
    assert summary["images_per_s"] == pytest.approx(203 / summary["seconds"], rel=0.01)
    # 26 requests of 20 ms, 4 at a time, cannot be faster; and not slower than the whole command.
    assert 7 * 0.02 * 0.9 <= summary["seconds"] <= around_s
    assert sum(count for _, count in run["histogram"]["buckets"]) == 26  # a batch counts once
    assert summary["latency_ms"]["p50"] >= 19
    assert set(summary["latency_ms"]) == {"mean", "p50", "p90", "p99", "p999", "max"}
    assert sum(window["images"] for window in run["windows"]) == 203


def test_the_same_seed_sends_the_same_pictures(images: Path) -> None:
    orders = []
    for number, seed in enumerate(("1", "1", "2")):
        with LoadTarget() as service:
            out = str(images.parent / str(number))
            more = ("--pictures", "40", "--workers", "1", "--seed", seed, "--out", out)
            assert throughput(service, images, *more) == 0
            orders.append(service.received[8:])
    assert orders[0] == orders[1] != orders[2]
    counts = Counter(orders[0])
    assert set(counts.values()) == {3, 4}
    assert len(counts) == 12


def test_a_bad_picture_costs_only_itself(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def reply(data: bytes) -> Reply:
        return problem(400, "no picture") if data == b"picture 3" else found([])

    with LoadTarget(reply) as service:
        assert throughput(service, images, "--pictures", "48") == 1
    summary = run_json(images)["summary"]
    assert (summary["images"], summary["errors"]) == (44, {"400": 4})
    assert "4 of 48 pictures failed (400: 4)" in capsys.readouterr().err


def test_what_is_sent_is_answered_or_an_error(images: Path) -> None:
    """Whole batches fail, now and then; and some answers are something else."""
    asked = 0

    def reply(data: bytes) -> Reply:
        nonlocal asked
        asked += 1
        if asked > 8 and asked % 5 == 0:
            return problem(503, "full")
        return (200, {"model": None}, None) if asked % 7 == 0 and asked > 8 else found([])

    with LoadTarget(reply) as service:
        assert throughput(service, images, "--pictures", "100", "--batch", "1") == 1
        assert len(service.received) == 1 + 100
    run = run_json(images)
    errors = run["summary"]["errors"]
    assert set(errors) == {"503", "not detections"}
    assert run["summary"]["images"] + sum(errors.values()) == 100
    assert sum(count for _, count in run["histogram"]["buckets"]) == run["summary"]["images"]
    assert run["summary"]["restarts_seen"] == 0  # it was full, not away


def test_average_precision_of_the_same_answers(tmp_path: Path) -> None:
    coco = Set(tmp_path)
    annotations = ("--annotations", str(tmp_path / "instances.json"), "--pictures", "30")
    with LoadTarget(lambda data: found(coco.rows(data))) as service:
        assert throughput(service, tmp_path / ".", *annotations, "--out", str(coco.out)) == 0
        assert service.query == "score_threshold=0.001&max_detections=100"
    run = json.loads((coco.out / "run.json").read_text())
    assert run["summary"]["images"] == 30
    assert run["accuracy"]["stats"]["AP"] == 1
    assert run["accuracy"]["pictures"] == 12
    assert run["accuracy"]["stats"] == coco.report["stats"]


def stopped(capsys: pytest.CaptureFixture[str], *sentences: str) -> None:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for sentence in sentences:
        assert sentence in said
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1


def test_an_unreachable_service_is_reported_in_one_line(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert throughput(f"http://127.0.0.1:{free_port()}", images) == 1
    stopped(capsys, "cannot be reached", "is the service running?")
    assert not (images.parent / "out").exists()


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (lambda data: (200, {"hello": "world"}, None), "is it the service?"),
        (lambda data: problem(503, "no backend"), "does not return detections (503): no backend"),
        (lambda data: problem(415, "no picture"), "rejected every picture, the last one with 415"),
    ],
)
def test_another_service_is_reported_in_one_line(
    images: Path, reply: Any, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoadTarget(reply) as service:
        assert throughput(service, images) == 1
    stopped(capsys, sentence)


def test_another_path_is_reported_in_one_line(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoadTarget() as service:
        assert throughput(service.url + "/elsewhere", images) == 1
    stopped(capsys, "returned 404: Not Found; is it the detection service?")


def test_an_unwritable_output_is_reported_in_one_line(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoadTarget() as service:
        assert throughput(service, images, "--out", "/dev/full") == 1
        stopped(capsys, "--out /dev/full is not a directory")
        (images.parent / "out" / "run.json.part").mkdir(parents=True)
        assert throughput(service, images) == 1
        stopped(capsys, "cannot write ", "run.json: Is a directory")
        assert service.requests == 1  # known before the run, not after


def test_a_run_is_not_overwritten(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LoadTarget() as service:
        assert throughput(service, images, "--pictures", "8") == 0
        assert throughput(service, images, "--pictures", "8") == 1
    assert "already exists: choose another --out" in capsys.readouterr().err


def test_a_picture_that_is_gone_ends_the_run(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.pictures.CACHE_BYTES", 10)

    def reply(data: bytes) -> Reply:
        (images / "07.jpg").unlink(missing_ok=True)
        return found([])

    with LoadTarget(reply) as service:
        assert throughput(service, images, "--batch", "1") == 1
    stopped(capsys, "cannot read ", "results so far are in ")
    assert run_json(images)["ended"] == "interrupted"


def test_a_service_that_does_not_come_back_ends_the_run(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(data: bytes) -> Reply:
        if len(service.received) > 60:
            service.stop_soon()
        return found([])

    with LoadTarget(reply, takes_s=0.01) as service:
        assert throughput(service, images, "--patience", "0.3") == 1
    stopped(capsys, "was unavailable for more than 0.3 s; results so far are in")
    run = run_json(images)
    assert run["ended"] == "interrupted"
    assert 0 < run["summary"]["images"] < 5000
