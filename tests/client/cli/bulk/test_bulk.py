"""`detect bulk`: one row for each object, whatever happens to the workers."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from detect_client.cli.main import main
from pyarrow.dataset import dataset, field

from tests.client.cli.bulk.results import rows_of
from tests.support.fakes.fake_backend import DOG, FakeBackend, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import free_port


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for number in range(25):
        path = folder / f"{number // 10}" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(16 + number, 16))
    return folder


def test_a_folder(url: str, pictures: Path, tmp_path: Path) -> None:
    (pictures / "0" / "05.jpg").write_bytes(b"rubbish")
    (pictures / "0" / "06.jpg").write_bytes(b"")
    out = tmp_path / "out"
    command = ["bulk", str(pictures), str(out), "--url", url, "--shard-size", "10"]
    assert main(command) == 0
    rows = rows_of(out)
    assert [row["key"] for row in rows] == [f"{n // 10}/{n:02}.jpg" for n in range(25)]
    assert [row["width"] for row in rows[7:]] == [16 + n for n in range(7, 25)]
    assert rows[24]["detections"][0] == {
        "label": "dog",
        "class_id": 16,
        "score": 0.75,
        "x_min": 10.25,
        "y_min": 16.0,
        "x_max": 40.0,
        "y_max": 16.0,
    }
    assert "These 7 bytes are not a picture" in rows[5]["error"]
    assert "empty" in rows[6]["error"]
    assert rows[5]["detections"] is rows[6]["detections"] is None
    assert {(row["model"], row["version"]) for row in rows} == {("yolov4", 3)}
    (job,) = out.iterdir()
    data = dataset(job)
    assert [len(pq.read_table(path)) for path in sorted(data.files)] == [10, 10, 5]
    assert data.count_rows(filter=field("error").is_null()) == 23


def test_only_the_missing_shards_are_computed(
    url: str, pictures: Path, tmp_path: Path, backend: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["bulk", str(pictures), str(out), "--url", url, "--shard-size", "10"]
    assert main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    (missing,) = out.glob("*/part-000001.parquet")
    missing.unlink()
    (pictures / "new.jpg").write_bytes(picture())  # the manifest does not have it
    asked = len(backend.pictures)
    assert main(command) == 0
    assert len(backend.pictures) == asked + 10
    after = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    assert before.keys() == after.keys()
    assert {path for path in before if before[path] != after[path]} == {missing}
    assert len(rows_of(out)) == 25
    assert "10 pictures in 1 shards, 0 with an error" in capsys.readouterr().err


def test_other_parameters_and_versions_are_other_jobs(
    url: str, pictures: Path, tmp_path: Path, backend: Any
) -> None:
    command = ["bulk", str(pictures), str(tmp_path / "out"), "--url", url]
    assert main(command) == 0
    assert main([*command, "--score-threshold", "0.1"]) == 0
    assert main([*command, "--label", "person"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_rate_is_kept(url: str, pictures: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    assert main(["bulk", str(pictures), str(tmp_path / "out"), "--url", url, "--rate", "50"]) == 0
    assert time.monotonic() - started >= 24 / 50


def test_workers_share_the_shards(url: str, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["bulk", str(pictures), str(out), "--url", url, "--shard-size", "4"]
    assert main([*command, "--shard", "1/3"]) == 0
    assert [path.name for path in sorted(out.glob("*/part-*"))] == [
        *("part-000001.parquet", "part-000004.parquet"),
    ]
    for name, index in (("JOB_COMPLETION_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_INDEX", "2")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, index)
            assert main([*command, "--workers", "3"]) == 0
    assert len(rows_of(out)) == len({row["key"] for row in rows_of(out)}) == 25


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--shard", "2/2"], "argument --shard"),
        (["--shard", "x"], "argument --shard"),
        (["--workers", "2"], "--workers needs $JOB_COMPLETION_INDEX"),
        (["--rate", "0"], "--rate is more than 0"),
        (["--in-flight", "0"], "at least 1"),
    ],
)
def test_wrong_command_lines(
    more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bulk", "a", "b", *more])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_errors_are_one_line(
    url: str, pictures: Path, tmp_path: Path, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    latin = tmp_path / "latin"
    latin.mkdir()
    Path(os.fsdecode(bytes(latin) + b"/caf\xe9.jpg")).write_bytes(picture())
    out = str(tmp_path / "out")
    nothing = ["--url", f"http://127.0.0.1:{free_port()}", "--timeout", "0.2"]
    cases = [
        (["bulk", str(tmp_path / "empty"), out, "--url", url], "has no objects"),
        (["bulk", str(latin), out, "--url", url], "the name is not UTF-8"),
        (["bulk", str(pictures), f"{pictures}/out", "--url", url], "would be taken for pictures"),
        (["bulk", "gs://x/y", out, "--url", url], "a bucket is given as s3://"),
        (["bulk", "s3://nowhere/x", out, "--url", url], "NoSuchBucket"),
        (["bulk", str(pictures), out, *nothing], "cannot be reached"),
        (["bulk", str(pictures), "s3://nowhere/x", "--url", url], "NoSuchBucket"),
        (["bulk-export", str(tmp_path), "--out", "x.json"], "not the folder of a bulk job"),
        (["bulk-export", str(tmp_path), "--out", "x.xml"], "--out ends with .json"),
    ]
    for arguments, sentence in cases:
        assert main(arguments) == 1, arguments
        error = capsys.readouterr().err
        assert sentence in error
        assert "Traceback" not in error


def test_a_new_version_stops_the_job(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.support.fakes.http_server import HttpServer, Request

    def service(request: Request) -> tuple[int, dict[str, str], bytes]:
        version = 1 if request.path == "/model" or len(server.requests) < 15 else 2
        answer: dict[str, Any] = {"model": {"name": "m", "version": version}, "detections": []}
        answer |= {"image": {"width": 1, "height": 1}, "name": "m", "version": 1, "labels": None}
        return 200, {}, json.dumps(answer).encode()

    with HttpServer(service) as server:
        command = ["bulk", str(pictures), str(tmp_path / "out"), "--url", server.url]
        assert main([*command, "--shard-size", "10", "--in-flight", "1"]) == 1
    assert "m version 2 has answered, and this job is for m version 1" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "out")) == 10


def test_export(
    url: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO

    (pictures / "0" / "05.jpg").write_bytes(b"rubbish")
    out = tmp_path / "out"
    command = ["bulk", str(pictures), str(out), "--url", url, "--shard-size", "10"]
    assert main(command) == 0
    (job,) = out.iterdir()
    assert main(["bulk-export", str(job), "--out", str(tmp_path / "coco.json")]) == 0
    coco = COCO(str(tmp_path / "coco.json"))
    assert sorted(coco.imgs) == [n for n in range(1, 26) if n != 6]  # rows of the manifest
    assert coco.imgs[25]["file_name"] == "2/24.jpg"
    images = [{"id": 70 + n, "file_name": f"{n // 10}/{n:02}.jpg"} for n in range(25)]
    categories = [{"id": 18, "name": "dog"}]
    truth = {"images": images, "categories": categories, "annotations": []}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    more = ["--annotations", str(tmp_path / "truth.json")]
    assert main(["bulk-export", str(job), "--out", str(tmp_path / "results.json"), *more]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert {(r["image_id"], r["category_id"]) for r in results} == {
        (70 + n, 18) for n in range(25) if n != 5
    }
    for ending, lines in (("jsonl", 24), ("csv", 1 + 2 * 24)):
        assert main(["bulk-export", str(job), "--out", str(tmp_path / f"out.{ending}")]) == 0
        assert len((tmp_path / f"out.{ending}").read_text().splitlines()) == lines
    (job / "part-000001.parquet").unlink()
    assert main(["bulk-export", str(job), "--out", str(tmp_path / "coco.json")]) == 1
    assert "shard 1 is missing: the job is not finished" in capsys.readouterr().err


@pytest.mark.slow
def test_the_service_is_kept_busy(tmp_path: Path) -> None:
    """Four requests in flight of 0.2 s each are twenty pictures a second. Of three tries the best,
    because whatever else runs here only takes from the worker."""
    folder, answered, rates = tmp_path / "pictures", list[float](), list[float]()
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03}.jpg").write_bytes(picture(640, 480))

    def reply(_: bytes) -> Any:
        answered.append(time.monotonic())
        return answer([DOG])

    with (
        FakeBackend(reply, delay_s=0.2, class_names=("dog",)) as backend,
        GatewayProcess(backend=backend.target) as gateway,
    ):
        while len(rates) < 3 and max(rates, default=0) < 0.95 * 20:
            answered.clear()
            out = str(tmp_path / f"out{len(rates)}")
            command = ["bulk", str(folder), out, "--url", gateway.url, "--in-flight", "4"]
            assert main([*command, "--shard-size", "10"]) == 0
            rates.append((len(answered) - 1) / (answered[-1] - answered[0]))
    assert max(rates) >= 0.95 * 20, rates
