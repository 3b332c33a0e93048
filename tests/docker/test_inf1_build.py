"""Dockerfile.inf1 built on a real engine, from stand-ins of AWS's package repositories.

    UBUNTU_IMAGE=... PYTHON310_IMAGE=... PYTHON37_IMAGE=... \\
        python -m pytest -m slow tests/docker/test_inf1_build.py

Proves the repository's key, the pins, the packages' names and paths, the runtime that the server
gets, entrypoint, health, and that both compilers' images export a model. It says nothing about
AWS's own packages. Needs a Docker engine, gcc, dpkg-deb and gpg; takes minutes.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.docker.neuron_stand_in import repositories
from tests.support.processes import compose
from tests.support.processes.gateway_process import wait_for

pytestmark = pytest.mark.slow
BUILD_S = 1500
IMAGES = {
    "UBUNTU_IMAGE": "ubuntu:22.04",
    "PYTHON310_IMAGE": "python:3.10-slim-bullseye",
    "PYTHON37_IMAGE": "python:3.7-slim-bullseye",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The repositories' address, as it is seen from a build."""
    compose.engine()
    for program in ("gcc", "dpkg-deb", "gpg"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    folder = tmp_path_factory.mktemp("repositories")
    for how in ("bundles", "depends", "lacks"):
        (folder / how).mkdir()
        repositories.apt(folder / how, how)
    repositories.wheels(folder / "wheels")
    network = ("docker", "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    address = compose.run(*network).stdout.strip()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    server = ThreadingHTTPServer((address, 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"{address}:{server.server_port}"
    server.shutdown()
    server.server_close()


def build(host: str, how: str, tensorflow: str, stage: str) -> "subprocess.CompletedProcess[str]":
    arguments = {name: compose.image(os.environ.get(name, tag)) for name, tag in IMAGES.items()}
    arguments |= {"NEURON_TENSORFLOW": tensorflow, "NEURON_APT": f"http://{host}/{how}"}
    # pip trusts an index without TLS only if told; the real one has it.
    arguments |= {"NEURON_PIP_INDEX": f"http://{host}/wheels/"}
    arguments |= {"PIP_TRUSTED_HOST": host.partition(":")[0]}
    options = [part for pair in arguments.items() for part in ("--build-arg", "=".join(pair))]
    # The repositories' port differs each time, and with it the build's cache.
    return compose.run(
        *("docker", "build", "--progress=plain", "-f", "Dockerfile.inf1", "--target", stage),
        *("-t", f"yolov4-test/inf1-{stage}:{how}-{tensorflow}", *options, "."),
        timeout=BUILD_S,
    )


def in_image(image: str, *command: str) -> str:
    entry = ("docker", "run", "--rm", "--init", "--network=none", "--entrypoint", command[0])
    done = compose.run(*entry, image, *command[1:], timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("how", "tensorflow", "server", "runtime"),
    [
        ("bundles", "2.10", "2.10.1.2.12.2.0-1", "bundled"),
        ("depends", "2.10", "2.10.1.2.12.2.0-1", "2.22.19.0"),
        ("bundles", "1.15", "1.15.0.2.10.1.0-1", "bundled"),
        ("depends", "1.15", "1.15.0.2.10.1.0-1", "2.22.19.0"),
    ],
)
def test_the_server_is_built_and_healthy(
    host: str, how: str, tensorflow: str, server: str, runtime: str
) -> None:
    done = build(host, how, tensorflow, "server")
    assert done.returncode == 0, done.stderr[-3000:]
    image = f"yolov4-test/inf1-server:{how}-{tensorflow}"
    listed = in_image(image, "dpkg-query", "-W", "-f", "${Package} ${Version}\n")
    packages = dict(line.split(" ") for line in listed.splitlines())
    assert packages["tensorflow-model-server-neuronx"] == server
    assert packages["aws-neuronx-tools"] == "2.19.0.0-1"
    assert packages.get("aws-neuronx-runtime-lib") == (None if how == "bundles" else f"{runtime}-1")
    assert not {"curl", "gnupg"} & set(packages)
    held = in_image(image, "apt-mark", "showhold").split()
    assert held == ["aws-neuronx-tools", "tensorflow-model-server-neuronx"]

    run = ("docker", "run", "-d", "--init", "--network=none", "--read-only", "--cap-drop=ALL")
    container = compose.run(*run, "--health-interval=1s", "-e", "MODEL_NAME=voc", image)
    name = container.stdout.strip()
    try:

        def healthy() -> bool:
            state = compose.run("docker", "inspect", "-f", "{{json .State}}", name).stdout
            return bool(json.loads(state)["Health"]["Status"] == "healthy")

        wait_for(healthy, 30)
        said = compose.run("docker", "logs", name).stdout.splitlines()
    finally:
        compose.run("docker", "rm", "-f", name)
    assert said[0] == f"runtime {runtime}"
    assert ("--grpc_max_threads=256" in said) is (tensorflow == "2.10")
    assert {"--port=8500", "--model_name=voc", "--enable_model_warmup=true"} <= set(said)


def test_the_monitor_outlives_the_server(host: str) -> None:
    """In the host's pid namespace, as in compose.inf1.yml; the server comes back by itself."""
    for stage in ("server", "monitor"):
        done = build(host, "bundles", "2.10", stage)
        assert done.returncode == 0, done.stderr[-3000:]
    run = ("docker", "run", "-d", "--init", "--restart=unless-stopped", "--read-only")
    image = "yolov4-test/inf1-{}:bundles-2.10"
    monitor = (*run, "--pid=host", "--cap-drop=ALL", "--tmpfs=/tmp", image.format("monitor"))
    server = (*run, "--network=none", "-e", "MODEL_NAME=voc", image.format("server"))
    names = [compose.run(*command).stdout.strip() for command in (server, monitor)]

    def state(name: str, field: str) -> str:
        return compose.run("docker", "inspect", "-f", f"{{{{{field}}}}}", name).stdout.strip()

    def scraped() -> bool:
        probe = ": </dev/tcp/127.0.0.1/9010"
        return compose.run("docker", "exec", names[1], "bash", "-c", probe).returncode == 0

    try:
        wait_for(scraped, 30)
        began = state(names[1], ".State.StartedAt")
        os.kill(int(state(names[0], ".State.Pid")), signal.SIGKILL)
        wait_for(lambda: state(names[0], ".RestartCount") == "1", 30)
        wait_for(lambda: state(names[0], ".State.Running") == "true", 30)
        assert scraped()
        assert state(names[1], ".State.StartedAt") == began
    finally:
        compose.run("docker", "rm", "-f", *names)


def test_a_server_without_its_runtime_fails_the_build(host: str) -> None:
    done = build(host, "lacks", "2.10", "server")
    assert done.returncode != 0
    assert "libnrt.so.1: cannot open shared object file" in done.stderr


def test_an_unknown_tensorflow_fails_the_build(host: str) -> None:
    done = build(host, "bundles", "2.11", "server")
    assert done.returncode != 0
    assert "NEURON_TENSORFLOW is 2.10 or 1.15, not 2.11" in done.stderr


@pytest.mark.parametrize(("tensorflow", "compiler"), [("2.10", "1.24.0.0"), ("1.15", "1.17.0.0")])
def test_the_compiler_exports_a_model(
    host: str, tensorflow: str, compiler: str, tmp_path: Path
) -> None:
    done = build(host, "bundles", tensorflow, "compiler")
    assert done.returncode == 0, done.stderr[-3000:]
    image = f"yolov4-test/inf1-compiler:bundles-{tensorflow}"
    assert f"neuron-cc=={compiler}" in in_image(image, "cat", "/opt/neuron/freeze.txt")
    tmp_path.chmod(0o777)
    compiled = compose.run(
        *("docker", "run", "--rm", "--init", "--network=none", "--read-only", "--cap-drop=ALL"),
        *("--user=1000:1000", "-e", "HOME=/tmp", "-e", "MODEL=demo", "-v", "/tmp"),
        *("-v", f"{tmp_path}:/models", image),
        timeout=600,
    )
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    assert "in one program" in compiled.stdout
    about = json.loads((tmp_path / "demo" / "1" / "assets.extra" / "model.json").read_text())
    assert about["target"] == {"2.10": "inf1", "1.15": "inf1-tf1"}[tensorflow]
