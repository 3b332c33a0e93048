"""The chart as helm renders it, and the tools that `make charts-tools` installs."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import ROOT

CHART = ROOT / "charts" / "detect"
TOOLS = ROOT / ".charts-tools"
HELM = TOOLS / "bin" / "helm"
TARGETS = ("cpu", "g4", "inf1")
COMPONENTS = ("gateway", "model-server")
Resource = dict[str, Any]

needs_tools = pytest.mark.skipif(
    not HELM.exists(), reason="helm and the validators are not installed: make charts-tools"
)

BULK = (
    "bulk.enabled=true",
    *("bulk.source=s3://pictures/in", "bulk.output=s3://pictures/out"),
)
# What can be switched on or off, each by itself.
SWITCHES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "registry": ("registry=r.example.com/a", "imageTag=v9", "imagePullSecrets={pull}"),
    "bucket": ("model.bucket=s3://models/all/",),
    "bucket and sync": ("model.bucket=s3://models", "model.syncSeconds=60"),
    "claim": ("model.claim=models",),
    "api keys": ("gateway.apiKeysSecret=keys",),
    "settings": ("gateway.settings.DETECT_MAX_IN_FLIGHT=32",),
    "fixed replicas": ("gateway.autoscaling.enabled=false", "gateway.replicas=3"),
    "load balancer": ("gateway.service.type=LoadBalancer",),
    "service accounts": ("gateway.serviceAccount=a", "modelServer.serviceAccount=b"),
    "ingress": ("gateway.ingress.enabled=true", "gateway.ingress.host=detect.example.com"),
    "ingress with TLS": (
        *("gateway.ingress.enabled=true", "gateway.ingress.host=detect.example.com"),
        *("gateway.ingress.className=nginx", "gateway.ingress.tlsSecret=detect-tls"),
    ),
    "no network policy": ("networkPolicy.enabled=false",),
    "scaled model servers": ("modelServer.autoscaling.enabled=true",),
    "pod monitors": (
        "monitoring.podMonitor.enabled=true",
        "monitoring.podMonitor.labels.release=p",
    ),
    "rules": ("monitoring.rules.enabled=true", "monitoring.rules.labels.release=p"),
    "dashboard": ("monitoring.dashboard.enabled=true",),
    "traces": (
        *("otel.enabled=true", "otel.endpoint=http://otel-collector.monitoring:4317"),
        "otel.env.OTEL_BSP_MAX_QUEUE_SIZE=4096",
    ),
    "bulk": (*BULK, "bulk.args={--score-threshold=0.5}"),
    "bulk without gateways": (*BULK, "bulk.direct=true"),
}
CASES = [("cpu", switch) for switch in SWITCHES] + [("g4", "defaults"), ("inf1", "defaults")]
CUSTOM = {"ScaledObject", "PodMonitor", "PrometheusRule"}


def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([HELM, *arguments], capture_output=True, text=True)


@cache
def render(target: str, *values: str) -> list[Resource]:
    """The resources of one target's values file and these further values."""
    file = CHART / f"values-{target}.yaml"
    done = helm("template", "mine", CHART, "-n", "ours", "-f", file, *sets(*values))
    assert done.returncode == 0, done.stderr
    return [resource for resource in yaml.safe_load_all(done.stdout) if resource]


def sets(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def refused(*values: str) -> str:
    """What helm says to values that the chart does not accept."""
    done = helm("template", "mine", CHART, *sets(*values))
    assert done.returncode != 0, f"accepted {values}"
    return done.stderr


def pick(resources: list[Resource], kind: str, component: str = "") -> Resource:
    """The only resource of its kind, or of its kind and component."""
    of_kind = [resource for resource in resources if resource["kind"] == kind]
    (resource,) = (
        r for r in of_kind if r["metadata"]["name"] == f"mine-{component}" or not component
    )
    return resource


def pod(resource: Resource) -> Any:
    return resource["spec"]["template"]["spec"]


def container(resources: list[Resource], component: str) -> Any:
    first, *_ = pod(pick(resources, "Deployment", component))["containers"]
    return first


def environment(container: Any) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def validate(resources: list[Resource], folder: Path, version: str) -> None:
    """By the JSON schemas of a Kubernetes version; unknown fields are errors."""
    file = folder / f"{version}.yaml"
    file.write_text(yaml.safe_dump_all(r for r in resources if r["kind"] not in CUSTOM))
    command = TOOLS / "venv" / "bin" / "kubernetes-validate"
    done = subprocess.run(
        [command, "--strict", "-k", version, file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def validate_custom(resources: list[Resource]) -> "subprocess.CompletedProcess[str]":
    """By the schemas of KEDA's and the Prometheus operator's CRDs."""
    return subprocess.run(
        ["node", "custom_resources.mjs"],
        cwd=TOOLS,
        input=json.dumps([r for r in resources if r["kind"] in CUSTOM]),
        capture_output=True,
        text=True,
    )
