"""The image of the command `detect`, built and run on a real engine.

PYTHON_IMAGE=... python -m pytest -m slow tests/docker/test_client_engine.py
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes import compose
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT

pytestmark = pytest.mark.slow
IMAGE = "yolov4-test/detect-client"
CONFINED = ("--rm", "--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL")


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    compose.engine()
    python = compose.image(os.environ.get("PYTHON_IMAGE", "python:3.11.14-slim-bookworm"))
    build = ("docker", "build", "-q", "-f", "docker/Dockerfile.client", "-t", IMAGE)
    done = compose.run(*build, f"--build-arg=PYTHON_IMAGE={python}", ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    yield IMAGE
    compose.run("docker", "rmi", "-f", IMAGE)


def run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    done = compose.run("docker", "run", *CONFINED, *options, image, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Written by the container's user, which is not root."""
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(picture(40 + number, 40))
    tmp_path.chmod(0o777)
    return tmp_path


def test_it_is_not_root_and_has_no_tensorflow(image: str) -> None:
    assert run(image, "-u", options=("--entrypoint=id",)).strip() == "65532"
    assert "bulk" in run(image)  # the help
    modules = run(image, "-r", "/packages", options=("--entrypoint=ls",))
    assert "pyarrow" in modules
    assert "tensorflow" not in modules


@pytest.mark.parametrize("way", ["gateway", "model server"])
def test_bulk_over_a_folder(image: str, folder: Path, way: str) -> None:
    with FakeBackend(class_names=("dog",)) as server, GatewayProcess(backend=server.target) as gw:
        where = ["--url", gw.url]
        if way == "model server":
            where = ["--server", f"grpc://{server.target}", "--model", "yolov4"]
        out = folder.parent / f"{folder.name}-{way[0]}"
        out.mkdir(mode=0o777)
        out.chmod(0o777)
        mounts = (f"-v={folder}:/pictures:ro", f"-v={out}:/out")
        run(image, "bulk", "/pictures", "/out", *where, options=mounts)
    (part,) = out.glob("*/part-*")
    rows = pq.read_table(part).to_pylist()
    assert [(row["key"], row["width"]) for row in rows] == [(f"{n}.jpg", 40 + n) for n in range(5)]
    assert all(row["error"] is None for row in rows)
