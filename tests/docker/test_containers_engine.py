"""The containers on a real engine: the gateway, a stand-in of TensorFlow Serving, and its death.

    PYTHON_IMAGE=... python -m pytest -m slow tests/docker/test_containers_engine.py

Needs a Docker engine and the base image; takes minutes, for it installs TensorFlow in a builder.
The stand-in has TensorFlow Serving's place, not its code: what only the real one can show, it does
not.
"""

import io
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.support.processes import compose
from tests.support.processes.gateway_process import wait_for
from tests.support.project import ROOT, free_port

pytestmark = pytest.mark.slow
BUILD_S = 1500
STAND_IN = "yolov4-test/serving:stand-in"
GPU_STAND_IN = "yolov4-test/serving:stand-in-gpu"
# Kills the model server as the kernel would; the container's first process is an init.
KILL = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if b"\\0service.model_server\\0" in open(f"/proc/{pid}/cmdline", "rb").read():
        os.kill(int(pid), signal.SIGKILL)
"""


@dataclass
class Stack:
    http: httpx.Client
    environment: dict[str, str]
    files: tuple[str, ...] = ("docker-compose.yml",)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        files = (part for file in self.files for part in ("-f", file))
        project = f"yolov4-test-{self.environment['TARGET']}"
        command = (*compose.compose(), "--env-file", os.devnull, "-p", project, *files, *arguments)
        return compose.run(*command, environment=self.environment, timeout=BUILD_S)

    def compose(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def detect(self) -> int:
        picture = io.BytesIO()
        Image.new("RGB", (64, 48), "red").save(picture, "JPEG")
        headers = {"Content-Type": "image/jpeg"}
        return self.http.post("/detect", content=picture.getvalue(), headers=headers).status_code

    def ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(repository: Path, files: tuple[str, ...], **variables: str) -> Iterator[Stack]:
    """The gateway and a stand-in of the model server, both built now."""
    compose.engine()
    compose.compose()
    python = compose.image(os.environ.get("PYTHON_IMAGE", "python:3.11.14-slim-bookworm"))
    port = free_port()
    environment = {
        "MODELS": str(repository),
        "COMPILE_USER": f"{os.getuid()}:{os.getgid()}",
        "GATEWAY_PORT": str(port),
        "PYTHON_IMAGE": python,
        "TF_SERVING_IMAGE": STAND_IN,
        **variables,
    }
    stand_in = ROOT / "tests" / "docker" / "stand_in"
    build = (stand_in / "build.sh", STAND_IN)
    gpu = ("docker", "build", "-q", "-f", stand_in / "Dockerfile.gpu", "-t", GPU_STAND_IN, stand_in)
    for command in (build, gpu):
        built = compose.run(*command, environment=environment, timeout=BUILD_S)
        assert built.returncode == 0, built.stderr
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        stack = Stack(http, environment, files)
        try:
            stack.compose("up", "-d", "--build", "gateway")
            wait_for(stack.ready, 60)
            yield stack
        finally:
            stack.compose("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def stack(small_repository: Path) -> Iterator[Stack]:
    small_repository.chmod(0o755)
    small_repository.parent.chmod(0o755)
    with running(small_repository, ("docker-compose.yml",), TARGET="cpu", MODEL="small") as stack:
        yield stack


def test_it_detects(stack: Stack) -> None:
    assert stack.detect() == 200
    metrics = stack.http.get("/metrics").text
    assert re.search(r"^detect_images_total\{[^}]*\} 1\.0$", metrics, re.MULTILINE)


def test_the_gateways_image_has_no_runtime_and_no_rights(stack: Stack) -> None:
    size = compose.run("docker", "image", "inspect", "-f", "{{.Size}}", "yolov4-gateway").stdout
    base = stack.environment["PYTHON_IMAGE"]
    of_base = compose.run("docker", "image", "inspect", "-f", "{{.Size}}", base).stdout
    assert int(size) - int(of_base) < 150e6
    found = compose.run(
        *("docker", "run", "--rm", "--entrypoint", "sh", "yolov4-gateway", "-c"),
        "find / -xdev -name '*pywrap_tensorflow*' -o -xdev -name 'libtensorflow*'; id -u",
    )
    assert found.stdout.split() == ["65532"]
    written = stack.run("exec", "-T", "gateway", "touch", "/app/file")
    assert "Read-only file system" in written.stderr


def test_only_the_gateway_is_reached_from_outside(stack: Stack) -> None:
    assert stack.compose("port", "gateway", "8000").strip().startswith("127.0.0.1:")
    listed = stack.compose("ps", "--format", "{{.Service}} {{.Ports}}", "model-server")
    assert "->" not in listed


def test_conformance_runs_in_compose(stack: Stack) -> None:
    """Against the running stand-in, and against its program in the suite's own container."""
    only = "refusals or monitoring or reload"
    said = stack.compose("run", "--rm", "--build", "conformance", "-k", only)
    assert "conformance of model-server:8500,8501 and /usr/bin/tensorflow_model_server" in said
    assert " 0 different, 0 skipped" in said


def test_a_killed_model_server_is_a_503_and_is_restarted(stack: Stack) -> None:
    stack.run("exec", "-T", "model-server", "python", "-c", KILL)  # ends with its container
    wait_for(lambda: stack.detect() == 503, 20)
    wait_for(lambda: stack.detect() == 200, 90)
    assert stack.http.get("/livez").status_code == 200


def test_down_ends_the_gateway_in_peace(stack: Stack) -> None:
    stack.compose("stop", "gateway")
    code = stack.compose("ps", "-a", "--format", "{{.ExitCode}}", "gateway").strip()
    assert code == "0"
    stack.compose("start", "gateway")
    wait_for(stack.ready, 60)


def test_g4_compiles_every_batch_size_before_it_is_healthy(tmp_path: Path) -> None:
    """Dockerfile.g4 and its flags, the bundled model in float16, XLA for the CPU."""
    tmp_path.chmod(0o755)
    files = ("docker-compose.yml", "tests/docker/stand_in/compose.g4.yml")
    variables = {"TARGET": "g4", "MODEL": "demo", "TF_SERVING_IMAGE": GPU_STAND_IN}
    with running(tmp_path, files, **variables) as stack:
        assert stack.detect() == 200
        log = stack.compose("logs", "--no-log-prefix", "model-server")
    assert log.index("Compiled cluster using XLA!") < log.index("available after")
