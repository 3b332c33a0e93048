"""Runs that stop are resumed; answers of another run are never mixed in."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from loadtest.accuracy.answers import Answers
from tests.loadtest.accuracy.coco_set import Set
from tests.support.fakes.fake_service import FakeService, Reply, found, problem
from tests.support.project import ROOT


def test_an_outage_is_one_line_and_loses_no_results(
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


def test_a_crash_loses_one_line_at_most(coco: Set) -> None:
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
