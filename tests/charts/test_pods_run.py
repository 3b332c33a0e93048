"""The chart's pods as podman runs them: user, read-only root, and SIGTERM under load.

    docker save yolov4-gateway yolov4-model-server-cpu | podman load
    python -m pytest -m slow tests/charts/test_pods_run.py

Podman runs pods and volumes. It has no Service, no DNS and no preStop, and turns probes into curl
and nc inside the container, which our images do not have. So the pods share the host's network, and
the probes are left out. Ports 8000, 8500 and 8501 must be free.
"""

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import wait_for

from .rendering import needs_tools, pick, render

pytestmark = [pytest.mark.slow, needs_tools]
IMAGES = ("localhost/yolov4-gateway:latest", "localhost/yolov4-model-server-cpu:latest")
DRAIN_S = 8
VALUES = (
    *("registry=localhost", "imageTag=latest", "model.claim=small", "model.name=small"),
    *("gateway.autoscaling.enabled=false", f"gateway.drainSeconds={DRAIN_S}"),
)
URL = "http://127.0.0.1:8000"
PROBES = {"startupProbe", "readinessProbe", "livenessProbe"}


def podman(*arguments: str | Path, stdin: str | None = None) -> str:
    done = subprocess.run(["podman", *arguments], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inside(component: str, script: str) -> "subprocess.CompletedProcess[str]":
    command = ["podman", "exec", name(component), "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True)


def name(component: str) -> str:
    return f"mine-{component}-pod-0-{component}"


def playable(deployment: Any) -> str:
    """The Deployment with one pod in the host's network."""
    spec = deployment["spec"]["template"]["spec"]
    container = {k: v for k, v in spec["containers"][0].items() if k not in {"ports", *PROBES}}
    near = {"name": "DETECT_BACKEND", "value": "dns:///localhost:8500"}
    container["env"] = [near if e["name"] == near["name"] else e for e in container["env"]]
    container["imagePullPolicy"] = "Never"
    pod = {**spec, "containers": [container], "hostNetwork": True}
    template = {**deployment["spec"]["template"], "spec": pod}
    return yaml.safe_dump({**deployment, "spec": {"replicas": 1, "template": template}})


@pytest.fixture(scope="module")
def pods(small_repository: Path) -> Iterator[dict[str, Any]]:
    if shutil.which("podman") is None:
        pytest.skip("needs podman")
    for image in IMAGES:
        if subprocess.run(["podman", "image", "exists", image]).returncode != 0:
            pytest.skip(f"{image} is not there: docker save … | podman load")
    podman("volume", "create", "small")
    volume = podman("volume", "inspect", "small", "-f", "{{.Mountpoint}}").strip()
    shutil.copytree(small_repository, volume, dirs_exist_ok=True)
    subprocess.run(["chmod", "-R", "a+rX", volume], check=True)
    resources = render("cpu", *VALUES)
    deployments = {c: pick(resources, "Deployment", c) for c in ("model-server", "gateway")}
    try:
        for deployment in deployments.values():
            podman("kube", "play", "-", stdin=playable(deployment))
        wait_for(ready, 120)
        yield deployments
    finally:
        for component in deployments:
            subprocess.run(["podman", "pod", "rm", "-f", "-t", "1", f"mine-{component}-pod-0"])
        podman("volume", "rm", "small")


def ready() -> bool:
    try:
        return httpx.get(f"{URL}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("component", ["gateway", "model-server"])
def test_the_pods_are_confined(pods: dict[str, Any], component: str) -> None:
    assert inside(component, "id -u; id -g").stdout.split() == ["65532", "65532"]
    assert "Read-only file system" in inside(component, "touch /file").stderr
    assert inside(component, "touch /tmp/file").returncode == 0
    state = podman("top", name(component), "hpid", "capeff", "seccomp").splitlines()[1:]
    processes = [line.split() for line in state]
    own = [p for p in processes if p[1] == "none"]
    assert own
    assert all(seccomp == "filter" for _, _, seccomp in own)
    no_new = inside(component, "grep NoNewPrivs /proc/self/status").stdout.split()
    assert no_new == ["NoNewPrivs:", "1"]


def test_the_model_server_is_not_process_1_and_sees_its_model_read_only(
    pods: dict[str, Any],
) -> None:
    first = inside("model-server", "tr '\\0' ' ' < /proc/1/cmdline").stdout
    assert "8500" not in first
    assert inside("model-server", "available").returncode == 0
    assert "Read-only file system" in inside("model-server", "touch /models/small/2").stderr


@dataclass
class Posts:
    """Callers until `stop`. A request that gets no response is lost."""

    stop: threading.Event = field(default_factory=threading.Event)
    answered: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def run(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)  # connections as from many clients
        headers = {"Content-Type": "image/jpeg"}
        with httpx.Client(timeout=30, limits=limits) as http:
            while not self.stop.is_set():
                try:
                    response = http.post(f"{URL}/detect", content=picture(), headers=headers)
                    self.answered[response.status_code] += 1
                except httpx.HTTPError as error:
                    self.lost.append(repr(error))


def test_sigterm_under_load_loses_nothing(pods: dict[str, Any]) -> None:
    """With four callers that come for most of the drain period, as until an endpoint is gone."""
    grace_s = pods["gateway"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    posts = Posts()
    callers = [threading.Thread(target=posts.run) for _ in range(4)]
    for caller in callers:
        caller.start()
    wait_for(lambda: posts.answered[200] >= 50, 60)
    before = posts.answered[200]
    podman("kill", "--signal", "TERM", name("gateway"))
    signalled = time.monotonic()
    time.sleep(DRAIN_S - 2)
    posts.stop.set()
    for caller in callers:
        caller.join(30)
    after = posts.answered[200] - before
    wait_for(lambda: not running("gateway"), grace_s)
    took_s = time.monotonic() - signalled
    print(f"{after} answered after SIGTERM, {posts.lost} lost, ended after {took_s:.1f} s")  # noqa: T201
    assert after > 20
    assert set(posts.answered) == {200}
    assert posts.lost == []
    assert DRAIN_S - 1 < took_s < grace_s
    assert podman("inspect", name("gateway"), "-f", "{{.State.ExitCode}}").strip() == "0"


def test_sigterm_ends_the_model_server(pods: dict[str, Any]) -> None:
    """TensorFlow Serving has no handler: as process 1 it would outlive the signal."""
    podman("kill", "--signal", "TERM", name("model-server"))
    wait_for(lambda: not running("model-server"), 25)


def running(component: str) -> bool:
    return podman("inspect", name(component), "-f", "{{.State.Running}}").strip() == "true"
