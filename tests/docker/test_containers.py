"""The containers' files, as far as they can be judged without an engine."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import compose
from tests.support.processes.gateway_process import wait_for
from tests.support.project import ROOT, free_port

TARGETS = ("cpu", "g4", "inf1")
DOCKERFILES = [
    *sorted((ROOT / "docker").glob("Dockerfile.*")),
    *sorted(ROOT.glob("Dockerfile.*")),
    ROOT / "tests" / "docker" / "stand_in" / "Dockerfile",
]
SCRIPTS = [*(ROOT / "docker").rglob("*.sh"), *(ROOT / "tests" / "docker" / "stand_in").glob("*.sh")]


@pytest.fixture(params=TARGETS)
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = compose.config(request.param)["services"]
    return found


def test_one_variable_picks_the_target() -> None:
    for target in TARGETS:
        services = compose.config(target)["services"]
        assert services["model-server"]["image"] == f"yolov4-model-server-{target}"
        chip = {"cpu": set(), "g4": {"dcgm-exporter"}, "inf1": {"neuron-monitor"}}[target]
        always = {"gateway", "model-server", "compile", "prometheus", "grafana"}
        assert set(services) == always | chip
    inf1 = compose.config("inf1")["services"]["model-server"]
    assert inf1["devices"] == [
        {"source": "/dev/neuron0", "target": "/dev/neuron0", "permissions": "rwm"}
    ]
    assert inf1["environment"]["NEURON_RT_VISIBLE_CORES"] == "0-3"
    g4 = compose.config("g4", GPU="1")["services"]["model-server"]
    (reserved,) = g4["deploy"]["resources"]["reservations"]["devices"]
    assert (reserved["driver"], reserved["device_ids"]) == ("nvidia", ["1"])


def test_only_three_are_published_and_on_loopback(services: dict[str, Any]) -> None:
    published = {
        name: [port["host_ip"] for port in service["ports"]]
        for name, service in services.items()
        if service.get("ports")
    }
    assert published == {name: ["127.0.0.1"] for name in ("gateway", "prometheus", "grafana")}
    asked = compose.config("cpu", PUBLISH="0.0.0.0", GATEWAY_PORT="80")["services"]["gateway"]
    assert (asked["ports"][0]["host_ip"], asked["ports"][0]["published"]) == ("0.0.0.0", "80")


def test_the_model_server_is_reached_by_the_others_alone(services: dict[str, Any]) -> None:
    assert set(services["model-server"]["networks"]) == {"back"}
    assert compose.config("cpu")["networks"]["back"]["internal"] is True


def test_every_service_is_confined_watched_and_waited_for(services: dict[str, Any]) -> None:
    waits = set()
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for other, how in service.get("depends_on", {}).items():
            finished = other == "compile"
            condition = "service_completed_successfully" if finished else "service_healthy"
            assert how["condition"] == condition, (name, other)
            waits.add(other)
        if name == "compile":
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0, name
        assert limits["pids"] > 0, name
    assert waits == {"compile", "model-server", "gateway", "prometheus"}


def test_weights_are_mounted_for_reading_and_written_by_the_compiler_alone(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        for volume in service.get("volumes", []):
            writes = (name, volume["target"]) in {
                ("compile", "/models"),
                ("compile", "/tmp"),
                ("prometheus", "/prometheus"),
            }
            assert volume.get("read_only", False) is not writes, (name, volume)
            if volume["target"] == "/tmp":
                assert "source" not in volume, volume  # anonymous: nothing of the host


def test_conformance_runs_only_when_asked_for() -> None:
    for target in TARGETS:
        assert "conformance" not in compose.config(target)["services"]
        services = compose.config(target, COMPOSE_PROFILES="conformance", MODEL="voc")["services"]
        suite, server = services["conformance"], services["model-server"]
        assert set(suite["networks"]) == set(server["networks"])
        assert suite["environment"]["TF_SERVING_TARGET"] == "model-server:8500,8501"
        assert suite["environment"]["TF_SERVING_MODEL"] == "voc"
        assert suite["environment"]["TF_MODEL_SERVER"] == "/usr/bin/tensorflow_model_server"
        assert suite["build"]["target"] == "conformance"
        assert suite["read_only"] is True


def test_images_have_a_version() -> None:
    """Of what is pulled: in compose, and the default of every base of a Dockerfile."""
    for target in TARGETS:
        for name, service in compose.config(target)["services"].items():
            if "build" not in service:
                assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), (name, service["image"])
    for path in DOCKERFILES:
        arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", path.read_text(), re.M))
        for base in re.findall(r"^FROM (\S+)", path.read_text(), re.M):
            if replaced := re.fullmatch(r"\$\{(\w+_IMAGE)\}", base):
                assert re.search(r":\d+\.\d+", arguments[replaced[1]]), (path.name, base)


def test_what_the_dockerfiles_share_is_built_once() -> None:
    """The stage with TensorFlow: the same words, or it is downloaded and kept several times."""
    stages = {
        path.name: found[0]
        for path in DOCKERFILES
        if (found := re.findall(r"^FROM \S+ AS everything\n(?:.+\n)+", path.read_text(), re.M))
    }
    assert set(stages) == {"Dockerfile.gateway", "Dockerfile.cpu", "Dockerfile.g4"}
    assert len(set(stages.values())) == 1


def test_every_base_can_be_replaced() -> None:
    images = {
        "PYTHON_IMAGE": "mirror/python:1",
        "TF_SERVING_IMAGE": "mirror/serving:1",
        "UBUNTU_IMAGE": "mirror/ubuntu:1",
        "PYTHON310_IMAGE": "mirror/python:3.10",
        "PYTHON37_IMAGE": "mirror/python:3.7",
        "PROMETHEUS_IMAGE": "mirror/prometheus:1",
        "GRAFANA_IMAGE": "mirror/grafana:1",
        "DCGM_IMAGE": "mirror/dcgm:1",
    }
    for target in TARGETS:
        for name, service in compose.config(target, **images)["services"].items():
            if "build" not in service:
                assert service["image"].startswith("mirror/"), name
                continue
            arguments = service["build"]["args"]
            path = ROOT / service["build"]["dockerfile"]
            for argument in re.findall(r"^ARG (\w+_IMAGE)=", path.read_text(), re.M):
                assert arguments[argument] == images[argument], (name, argument)


def test_the_page_lists_every_variable() -> None:
    files = [ROOT / "docker-compose.yml", *(ROOT / "docker").glob("compose.*.yml")]
    used = {name for path in files for name in re.findall(r"\$\{(\w+)", path.read_text())}
    listed = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/deploy/containers.md").read_text()))
    assert "TARGET" in used
    assert used <= listed


def test_the_settings_that_compose_passes_on_exist() -> None:
    from opentelemetry.sdk import environment_variables

    from service.core.logs.settings import PREFIX
    from service.settings import Settings

    passed = set(compose.config("cpu")["services"]["gateway"]["environment"])
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert passed <= settings | set(vars(environment_variables))


def test_batches_are_padded_to_sizes_that_were_warmed_up() -> None:
    """batching_session.cc: increasing, and the last is max_batch_size."""
    from yolov4.export.targets import TARGETS as ARTEFACTS

    text = (ROOT / "docker/tfserving/batching.g4.txt").read_text()
    sizes = [int(size) for size in re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.M)]
    largest = re.search(r"^max_batch_size { value: (\d+) }$", text, re.M)
    assert largest
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == int(largest[1])
    assert tuple(sizes) == ARTEFACTS["g4"].warm_up
    flags = (ROOT / "Dockerfile.g4").read_text()
    assert "--enable_batching=true" in flags  # the file without the flag is an error at the start
    assert "--xla_gpu_compilation_enabled=true" in flags
    assert "--tf_xla_auto_jit=2" in flags


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = compose.run(compose.linter("hadolint"), "--no-color", path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_parse(path: Path) -> None:
    assert os.access(path, os.X_OK)
    shell = path.read_text().splitlines()[0].rpartition("/")[2]
    done = compose.run(shell, "-n", path)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """What the gateway's image holds of the environment these tests run in."""
    done = compose.run(sys.executable, ROOT / "docker" / "gateway_packages.py", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    return tmp_path / "all"


def test_the_gateway_runs_from_its_packages_without_tensorflow(packages: Path) -> None:
    modules = [path for name in ("tensorflow", "keras") for path in (packages / name).rglob("*")]
    files = [path for path in modules if path.is_file()]
    assert {path.name.removesuffix("_pb2.py") for path in files} == {
        *("__init__.py", "error_codes", "resource_handle", "tensor", "tensor_shape", "types")
    }
    assert not (packages / "numpy").exists()
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < 150e6

    # -S: of this interpreter's own packages, none.
    python = Path(sys.base_prefix) / "bin" / "python3"
    environment = {
        "PYTHONPATH": str(packages),
        "DETECT_HOST": "127.0.0.1",
        "DETECT_PORT": str(free_port()),
    }
    gateway = subprocess.Popen(
        [python, "-S", "-m", "service"], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )

    def healthy(route: str) -> bool:
        script = ROOT / "docker" / "healthy.py"
        return (
            compose.run(python, "-I", "-S", script, route, environment=environment).returncode == 0
        )

    try:
        wait_for(lambda: healthy("/livez") or gateway.poll() is not None, 20)
        assert gateway.poll() is None, gateway.communicate()[1].decode()
        assert not healthy("/readyz")
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.communicate(timeout=20)
    assert gateway.returncode == 0


def compile_(models: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """docker/compile.sh with a folder in the place of /models, and `echo` in that of Python."""
    script = (ROOT / "docker" / "compile.sh").read_text().replace("/models", str(models))
    script = script.replace("  python -m", "  echo python -m")
    return subprocess.run(
        ["sh", "-c", script], env={"PATH": os.defpath, **variables}, capture_output=True, text=True
    )


def test_compile_passes_the_environment_to_prepare(tmp_path: Path) -> None:
    command = f"--repository {tmp_path} --downloads /opt/weights"
    bundled = compile_(tmp_path, TARGET="g4", MODEL="demo")
    assert bundled.stdout.strip() == f"python -m yolov4 prepare demo --target g4 {command}"
    both = compile_(tmp_path, TARGET="cpu", MODEL="demo,yolov4").stdout.splitlines()
    assert [line.split()[4] for line in both] == ["demo", "yolov4"]
    default = compile_(tmp_path, TARGET="cpu")
    assert default.stdout.strip() == f"python -m yolov4 prepare yolov4-tiny --target cpu {command}"
    files = {"CFG": "a b.cfg", "WEIGHTS": "b.weights", "NAMES": "c.names"}
    own = compile_(tmp_path, TARGET="cpu", MODEL="voc", FORCE="1", **files)
    assert own.stdout.strip().endswith("--cfg a b.cfg --weights b.weights --names c.names --force")


def test_the_server_is_asked_for_the_state_and_not_for_an_answer(tmp_path: Path) -> None:
    """docker/tfserving/available.sh against a REST port that answers 200 in every state."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    asked: list[str] = []
    states = {"voc": "LOADING", "coco": "AVAILABLE"}

    class Rest(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.removeprefix("/v1/models/"))
            self.send_response(200)
            self.end_headers()
            answer = '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "%s"'
            self.wfile.write((answer % states[asked[-1]]).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Rest)
    Thread(target=server.serve_forever, daemon=True).start()
    text = (ROOT / "docker/tfserving/available.sh").read_text()
    script = tmp_path / "available.sh"
    script.write_text(text.replace("8501", str(server.server_port)))

    def available(models: str = "voc") -> bool:
        environment = {"PATH": os.defpath, "MODEL_NAME": models}
        done = subprocess.run(["bash", script], env=environment, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    try:
        assert not available()
        assert not available("coco,voc")
        states["voc"] = "AVAILABLE"
        assert available()
        assert available("coco,voc")
        assert asked == ["voc", "coco", "voc", "voc", "coco", "voc"]
    finally:
        server.shutdown()
        server.server_close()
    assert not available()


def test_the_server_has_a_grpc_thread_for_every_call_of_several_gateways(tmp_path: Path) -> None:
    """A call more than threads is refused, not queued; GetModelStatus takes one too."""
    from service.settings import Settings

    server = tmp_path / "tensorflow_model_server"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(0o755)
    run = subprocess.run(
        [ROOT / "docker" / "tfserving" / "serve.sh", "--grpc_channel_arguments=a=1"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_NAME": "m"},
        capture_output=True,
        text=True,
        check=True,
    )
    flags = dict(line.split("=", 1) for line in run.stdout.splitlines())
    in_flight = Settings.model_fields["max_in_flight"].default
    assert int(flags["--grpc_max_threads"]) >= 10 * (in_flight + 1) + 1
    assert flags["--grpc_channel_arguments"] == "a=1"


def test_several_models_get_a_configuration_in_the_servers_format(tmp_path: Path) -> None:
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from tensorflow_serving.config import model_server_config_pb2

    server = tmp_path / "tensorflow_model_server"
    server.write_text(
        '#!/bin/sh\nfor a; do case $a in *config_file=/*) cat "${a#*=}";; esac; done\n'
    )
    server.chmod(0o755)
    script = (ROOT / "docker" / "tfserving" / "serve.sh").read_text()
    run = subprocess.run(
        ["bash", "-c", script.replace("--monitoring_config_file=/etc", "--other=/etc")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_NAME": "coco,voc-2"},
        capture_output=True,
        text=True,
        check=True,
    )
    config = text_format.Parse(run.stdout, model_server_config_pb2.ModelServerConfig())
    models = [(m.name, m.base_path, m.model_platform) for m in config.model_config_list.config]
    assert models == [
        ("coco", "/models/coco", "tensorflow"),
        ("voc-2", "/models/voc-2", "tensorflow"),
    ]
