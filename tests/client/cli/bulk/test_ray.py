"""`detect bulk --engine ray`: the same rows, and a job that both engines work on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.client.cli.bulk.results import rows_in, worker
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import wait_for
from tests.support.project import ROOT

PYTHON = ROOT / ".venv-ray" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs .venv-ray, see docs/guides/bulk.md"),
]


def processes_of(session: str) -> list[int]:
    """Ray's daemons; they outlive a driver that is killed."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"DETECT_TEST_SESSION={session}".encode() in environment:
                pids.append(int(entry.name))
    return pids


def test_ray_gives_the_same_rows(s3: Any, aws: Any, url: str, tmp_path: Path) -> None:
    for number in range(60):
        body = b"rubbish" if number % 20 == 7 else picture(16 + number, 16)
        s3.put_object(Bucket="pics", Key=f"ray/{number:03}.jpg", Body=body)
    session = tmp_path.name
    environment = {**aws[1], "DETECT_TEST_SESSION": session, "RAY_DISABLE_IMPORT_WARNING": "1"}
    arguments = ["s3://pics/ray", "--url", url, "--shard-size", "5"]
    ray = ["--engine", "ray", "--ray-workers", "2"]
    try:
        first = worker(
            environment,
            arguments[0],
            "s3://out/ray",
            *arguments[1:],
            "--rate",
            "10",
            *ray,
            python=PYTHON,
        )

        def parts() -> int:
            answer = s3.list_objects_v2(Bucket="out", Prefix="ray/")
            return sum("/part-" in entry["Key"] for entry in answer.get("Contents", ()))

        wait_for(lambda: parts() >= 3, 90)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        again = worker(
            environment, arguments[0], "s3://out/ray", *arguments[1:], *ray, python=PYTHON
        )
        _, error = again.communicate(timeout=150)
        assert again.returncode == 0, error
        assert b"of 12 shards to do" in error
        local = worker(environment, arguments[0], "s3://out/local", *arguments[1:])
        _, error = local.communicate(timeout=60)
        assert local.returncode == 0, error
    finally:
        for pid in processes_of(session):
            os.kill(pid, signal.SIGKILL)
    rows = rows_in(s3, "ray")
    assert len(rows) == 60
    assert sum(row["error"] is not None for row in rows) == 3
    assert rows == rows_in(s3, "local")
