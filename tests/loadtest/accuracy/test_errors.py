"""Errors of `accuracy`: one line, before anything is sent where possible."""

import sys
from collections.abc import Callable

import pytest

from tests.loadtest.accuracy.coco_set import Set
from tests.support.fakes.fake_service import FakeService, Reply, found, problem
from tests.support.project import free_port


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (lambda _: problem(404, "Not Found"), "returned 404: Not Found; is it the detection"),
        (lambda _: (200, {"predictions": []}, None), "returned 200 without detections"),
        (lambda _: problem(415, "The picture is a GIF."), "rejected every picture"),
        (lambda _: problem(504, "No answer in time."), "(504): No answer in time. (retried"),
    ],
)
def test_responses_of_other_services_are_reported(
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


def test_missing_files_are_reported_before_anything_is_sent(
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
