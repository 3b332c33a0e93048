"""`detect FOLDER`: each picture once, however often the run is interrupted."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from detect_client.cli.main import main

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT, free_port


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        yield gateway.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    (folder / "b.jpg").write_bytes(picture())
    (folder / "a.PNG").write_bytes(picture(kind="PNG"))
    (folder / "more" / "c d.jpeg").write_bytes(picture(80, 40))
    (folder / "more" / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(picture())
    return folder


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_line_a_picture_sorted_by_name(url: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert main([str(folder), "--url", url, "--out", str(out)]) == 0
    found = rows(out)
    assert [row["file"] for row in found] == ["a.PNG", "b.jpg", "more/c d.jpeg"]
    assert found[2]["image"] == {"width": 80, "height": 40}
    assert set(found[0]) == {"file", "model", "image", "detections"}


def test_the_default_output_is_next_to_the_folder(url: str, folder: Path) -> None:
    assert main([str(folder), "--url", url]) == 0
    assert len(rows(folder.with_name("pictures-detections.jsonl"))) == 3


def test_bad_pictures_are_listed_and_the_others_are_there(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "aa.jpg").write_bytes(b"rubbish")
    (folder / "empty.jpg").write_bytes(b"")
    out = tmp_path / "out.csv"
    assert main([str(folder), "--url", url, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "2 could not be detected:\n  aa.jpg: These 7 bytes" in error
    assert "  empty.jpg: " in error
    assert len(out.read_text().splitlines()) == 1 + 2 * 3
    # Only the repaired picture is sent again.
    (folder / "aa.jpg").write_bytes(picture())
    (folder / "empty.jpg").unlink()
    assert main([str(folder), "--url", url, "--out", str(out)]) == 0
    assert "3 of 4 are done already" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 1 + 2 * 4


def test_a_picture_that_changed_is_sent_again(url: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert main([str(folder), "--url", url, "--out", str(out)]) == 0
    (folder / "b.jpg").write_bytes(picture(100, 100))
    (folder / "a.PNG").unlink()
    assert main([str(folder), "--url", url, "--out", str(out)]) == 0
    assert [(r["file"], r["image"]) for r in rows(out)] == [
        ("b.jpg", {"width": 100, "height": 100}),
        ("more/c d.jpeg", {"width": 80, "height": 40}),
    ]


def test_other_parameters_are_another_run(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(folder), "--url", url, "--out", str(tmp_path / "out.jsonl")]
    assert main(command) == 0
    assert main([*command, "--score-threshold", "0.6"]) == 1
    assert "belongs to a run with score_threshold 0.25, not 0.6" in capsys.readouterr().err
    assert main([*command, "--score-threshold", "0.6", "--fresh"]) == 0
    assert all(len(r["detections"]) == 1 for r in rows(tmp_path / "out.jsonl"))  # type: ignore[arg-type]


def test_errors_are_one_line(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.jsonl.journal").write_text("no journal\n")
    latin = tmp_path / "latin"
    latin.mkdir()
    Path(os.fsdecode(bytes(latin) + b"/caf\xe9.jpg")).write_bytes(picture())
    cases = [
        ([str(folder), "--url", nothing, "--timeout", "0.2"], "cannot be reached"),
        ([str(tmp_path / "empty"), "--url", url], "has no pictures (.jpg, .jpeg, .png, .webp)"),
        ([str(latin), "--url", url], "the name is not UTF-8; rename the file"),
        ([str(folder), "--out", "x.txt"], "add --format coco|csv|"),
        ([str(folder), "--url", url, "--out", str(tmp_path / "x.jsonl")], "not a journal"),
        ([str(folder), "--url", url, "--label", ""], "label"),
        ([str(tmp_path / "gone.jpg"), "--url", url], "No such file"),
        ([str(tmp_path / "gone"), "--url", url], "no picture, folder, video file or stream"),
    ]
    for arguments, sentence in cases:
        assert main(arguments) == 1, arguments
        error = capsys.readouterr().err
        assert sentence in error
        assert "Traceback" not in error


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json"])
def test_names_with_every_kind_of_line_break(
    url: str, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "names", tmp_path / f"out.{ending}"
    folder.mkdir()
    for name in ("a\nb.jpg", "a\u2028b.jpg", "a\x85b.jpg", "'\"<b>.jpg"):
        (folder / name).write_bytes(picture())
    assert main([str(folder), "--url", url, "--out", str(out)]) == 0
    assert main([str(folder), "--url", url, "--out", str(out)]) == 0
    assert "4 of 4 are done already" in capsys.readouterr().err


def test_two_runs_at_once(url: str, folder: Path, tmp_path: Path) -> None:
    from detect_client.cli.journal import Journal
    from detect_client.cli.options import Stop

    path = tmp_path / "out.journal"
    with (
        Journal(path, {"a": 1}, fresh=False),
        pytest.raises(Stop, match="in use by another run"),
        Journal(path, {"a": 1}, fresh=False),
    ):
        pass


def detect(folder: Path, out: Path, url: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "detect_client.cli.main", str(folder), "--url", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    return subprocess.Popen([*command, "--out", str(out)], env=environment, stderr=subprocess.PIPE)


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_killed_twice_and_resumed_each_picture_is_there_once(
    url: str, tmp_path: Path, count: int
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}.jpg").write_bytes(picture(16 + number % 64, 16))
    journal = Path(f"{out}.journal")

    def recorded_more_than(lines: int) -> bool:
        return journal.exists() and journal.read_bytes().count(b"\n") > lines

    for part in (1, 2):
        process = detect(folder, out, url)
        wait_for(partial(recorded_more_than, part * count // 3), 120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not out.exists()
    with journal.open("ab") as file:  # what a kill in the middle of a line leaves
        file.write(b'{"file": "00')
    last = detect(folder, out, url)
    _, error = last.communicate(timeout=300)
    assert last.returncode == 0, error
    assert b"are done already" in error
    found = rows(out)
    assert [r["file"] for r in found] == [f"{number:05}.jpg" for number in range(count)]
    assert [r["image"]["width"] for r in found] == [16 + n % 64 for n in range(count)]  # type: ignore[index]
    recorded = Counter(json.loads(line).get("file") for line in journal.read_text().splitlines())
    assert recorded.pop(None) == 1
    assert set(recorded.values()) == {1}


def test_ctrl_c_ends_at_once_and_the_same_command_continues(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out.jsonl"
    with FakeBackend(delay_s=5) as backend, GatewayProcess(backend=backend.target) as gateway:
        process = detect(folder, out, gateway.url)
        wait_for(lambda: backend.pictures, 20)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=4)
        assert process.returncode == 130
        assert b"the same command continues" in error
        assert b"Traceback" not in error
