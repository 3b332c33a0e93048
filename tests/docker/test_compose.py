"""The compose files, as far as they can be judged without an engine."""

import re
from typing import Any

import pytest

from tests.support.processes import compose
from tests.support.processes.compose import TARGETS
from tests.support.project import ROOT


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
