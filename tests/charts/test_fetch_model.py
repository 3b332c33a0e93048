"""The script that copies models from a bucket, with the real AWS CLI against an S3 server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.support.processes.gateway_process import wait_for

from .rendering import CHART, TOOLS, needs_tools

pytestmark = [needs_tools, pytest.mark.slow]
KEYS = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    httpx.post(f"http://127.0.0.1:{port}/moto-api/reset")  # what an earlier server of it held
    yield {
        **KEYS,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "SOURCE": "s3://models/all/voc",
        "DESTINATION": str(tmp_path / "models" / "voc"),
        "EVERY_S": "0",
        "HOME": str(tmp_path),
        "PATH": f"{(TOOLS / 'venv' / 'bin').resolve()}:{os.environ['PATH']}",
    }
    server.stop()


@pytest.fixture
def bucket(environment: dict[str, str]) -> Any:
    resource = boto3.resource(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    return resource.create_bucket(Bucket="models")


def upload(bucket: Any, version: str) -> None:
    for name in ("saved_model.pb", "variables/variables.index"):
        bucket.put_object(Key=f"all/voc/{version}/{name}", Body=version.encode())


SCRIPT = ["sh", str(CHART / "files" / "fetch-model.sh")]


def copied(environment: dict[str, str]) -> dict[str, str]:
    folder = Path(environment["DESTINATION"])
    return {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}


def files(*versions: str) -> dict[str, str]:
    names = ("saved_model.pb", "variables/variables.index")
    return {f"{version}/{name}": version for version in versions for name in names}


def test_versions_are_copied_once_and_other_folders_are_not(
    environment: dict[str, str], bucket: Any
) -> None:
    for version in ("1", "12", "draft"):
        upload(bucket, version)
    bucket.put_object(Key="all/voc/README.md", Body=b"")
    bucket.put_object(Key="all/voc-2/1/saved_model.pb", Body=b"")
    subprocess.run(SCRIPT, env=environment, check=True)
    assert copied(environment) == files("1", "12")
    bucket.put_object(Key="all/voc/1/saved_model.pb", Body=b"changed")  # versions never change
    upload(bucket, "13")
    subprocess.run(SCRIPT, env=environment, check=True)
    assert copied(environment) == files("1", "12", "13")


def test_an_interrupted_copy_is_completed_out_of_sight(
    environment: dict[str, str], bucket: Any
) -> None:
    upload(bucket, "1")
    incoming = Path(environment["DESTINATION"]) / ".incoming" / "1"
    incoming.mkdir(parents=True)
    (incoming / "saved_model.pb").write_text("1")
    subprocess.run(SCRIPT, env=environment, check=True)
    assert copied(environment) == files("1")


def test_no_version_and_no_bucket_fail(environment: dict[str, str], bucket: Any) -> None:
    upload(bucket, "draft")
    done = subprocess.run(SCRIPT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected s3://models/all/voc/1/saved_model.pb" in done.stderr
    away = environment | {"SOURCE": "s3://elsewhere/voc"}
    done = subprocess.run(SCRIPT, env=away, capture_output=True, text=True)
    assert done.returncode != 0
    assert "NoSuchBucket" in done.stderr


def test_new_versions_are_found_while_the_pod_runs_until_sigterm(
    environment: dict[str, str], bucket: Any
) -> None:
    environment["EVERY_S"] = "1"
    process = subprocess.Popen(SCRIPT, env=environment, stderr=subprocess.DEVNULL)
    try:
        upload(bucket, "1")
        wait_for(lambda: copied(environment) == files("1"), 20)
        upload(bucket, "2")
        wait_for(lambda: copied(environment) == files("1", "2"), 20)
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
