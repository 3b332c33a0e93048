"""The rendered chart against helm, Kubernetes' schemas and those of the custom resources."""

from copy import deepcopy
from pathlib import Path

import pytest

from . import rendering
from .rendering import CASES, CHART, CUSTOM, SWITCHES, TARGETS, needs_tools, pick, refused, render

pytestmark = needs_tools
OLDEST, NEWEST = "1.30", "1.37"


@pytest.mark.parametrize("target", TARGETS)
def test_lint_finds_nothing(target: str) -> None:
    done = rendering.helm("lint", "--strict", CHART, "-f", CHART / f"values-{target}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_target_and_switch_is_valid(version: str, tmp_path: Path) -> None:
    resources = []
    for target, switch in CASES:
        resources += render(target, *SWITCHES[switch])
    everything = [value for values in SWITCHES.values() for value in values]
    everything.remove("model.claim=models")  # instead of a bucket
    for target in TARGETS:
        resources += render(target, *everything)
    unique = {repr(resource): resource for resource in resources}
    rendering.validate(list(unique.values()), tmp_path, version)


def test_a_misspelt_field_is_found(tmp_path: Path) -> None:
    deployment = deepcopy(pick(render("cpu"), "Deployment", "gateway"))
    deployment["spec"]["template"]["spec"]["shareProcessNamespaces"] = True
    with pytest.raises(AssertionError, match="shareProcessNamespaces"):
        rendering.validate([deployment], tmp_path, NEWEST)


def test_custom_resources_are_valid_and_off_by_default() -> None:
    assert not {resource["kind"] for resource in render("cpu")} & CUSTOM
    switches = ("scaled model servers", "pod monitors", "rules")
    resources = render("g4", *(value for name in switches for value in SWITCHES[name]))
    done = rendering.validate_custom(resources)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [
        "PodMonitor mine-gateway",
        "PodMonitor mine-model-server",
        "PrometheusRule mine-rules",
        "ScaledObject mine-model-server",
        "",
    ]
    broken = deepcopy(pick(resources, "ScaledObject"))
    broken["spec"]["triggers"][0]["metadata"]["threshold"] = 8  # must be a string
    assert "threshold" in rendering.validate_custom([broken]).stderr


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gateway.replica=3", "additional properties 'replica' not allowed"),
        ("gateway.settings.DETECT_PORT=1", "DETECT_PORT"),
        ("gateway.settings.MAX_IN_FLIGHT=1", "MAX_IN_FLIGHT"),
        ("gateway.replicas=0", "minimum"),
        ("gateway.drainSeconds=1", "minimum"),
        ("model.bucket=models", "does not match pattern"),
        ("modelServer.autoscaling.callsPerServer=0", "exclusiveMinimum"),
        ("modelServer.preStopSeconds=44", "at least dnsTtlSeconds"),
        ("gateway.settings.DETECT_DEADLINE_S=20", "at least dnsTtlSeconds"),
        ("gateway.ingress.enabled=true", "gateway.ingress.host"),
        ("bulk.enabled=true", "bulk.source"),
        ("otel.enabled=true", "otel.endpoint"),
        ("otel.endpoint=collector:4317", "does not match pattern"),
        ("otel.sampler=sometimes", "value must be one of"),
        ("otel.env.DETECT_PORT=1", "DETECT_PORT"),
        ("otel.env.OTEL_TRACES_SAMPLER=always_on", "OTEL_TRACES_SAMPLER"),
    ],
)
def test_values_that_cannot_work_are_refused(value: str, words: str) -> None:
    assert words in refused(value)


def test_one_source_of_models() -> None:
    assert "one of the two" in refused("model.bucket=s3://a", "model.claim=b")


def test_an_old_cluster_is_refused() -> None:
    done = rendering.helm("template", "mine", CHART, "--kube-version", "1.29.0")
    assert "incompatible with Kubernetes v1.29.0" in done.stderr
