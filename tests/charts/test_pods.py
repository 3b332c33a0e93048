"""What schemas cannot check: names, ports, times and settings that must agree with each other."""

import re
from typing import Any

import pytest
import yaml

from service import __version__
from service.core.threads import ThreadSettings
from service.settings import Settings
from tests.support.project import ROOT

from .rendering import (
    CASES,
    CHART,
    COMPONENTS,
    SWITCHES,
    TARGETS,
    Resource,
    container,
    environment,
    needs_tools,
    pick,
    pod,
    refused,
    render,
)

pytestmark = needs_tools
COREDNS_TTL_S = 30  # of the Corefile that EKS and kubeadm install


@pytest.mark.parametrize("target", TARGETS)
def test_stopping_a_model_server_loses_no_call(target: str) -> None:
    resources = render(target)
    settings = gateway_settings(resources)
    spec = pod(pick(resources, "Deployment", "model-server"))
    stop_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert stop_s >= COREDNS_TTL_S + settings.resolve_interval_s + settings.deadline_s
    assert spec["terminationGracePeriodSeconds"] > stop_s
    assert spec["shareProcessNamespace"] is True


def gateway_settings(resources: list[Resource]) -> Settings:
    variables = environment(container(resources, "gateway"))
    fields: dict[str, Any] = {n.removeprefix("DETECT_").lower(): v for n, v in variables.items()}
    return Settings(**fields)


@pytest.mark.parametrize("target", TARGETS)
def test_the_gateways_settings_exist_and_its_grace_period_covers_them(target: str) -> None:
    resources = render(target, *SWITCHES["settings"])
    known = {f"DETECT_{name.upper()}" for name in Settings.model_fields}
    variables = environment(container(resources, "gateway"))
    assert variables.keys() <= known
    assert variables["DETECT_MAX_IN_FLIGHT"] == "32"
    settings = gateway_settings(resources)
    grace_s = pod(pick(resources, "Deployment", "gateway"))["terminationGracePeriodSeconds"]
    assert grace_s >= settings.drain_s + settings.shutdown_timeout_s + 5
    assert settings.drain_s >= 10  # until the endpoint is gone everywhere
    probe = container(resources, "gateway")["readinessProbe"]
    assert settings.drain_s > probe["periodSeconds"] * probe["failureThreshold"]


def test_the_model_servers_threads_follow_the_value() -> None:
    by_value = ThreadSettings.model_fields["threads"].default, "throughput"
    for values, profile in zip(((), ("modelServer.threads=throughput",)), by_value, strict=True):
        variables = environment(container(render("cpu", *values), "model-server"))
        assert variables["DETECT_THREADS"] == profile
    assert "latency" in refused("modelServer.threads=fast")


def test_values_name_settings_that_the_chart_does_not_set_itself() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    names = schema["properties"]["gateway"]["properties"]["settings"]["propertyNames"]
    variables = environment(container(render("cpu", *SWITCHES["api keys"]), "gateway"))
    assert set(names["not"]["enum"]) == {*variables, "DETECT_TRACING"}  # that of `otel`


def test_the_backend_is_the_headless_service() -> None:
    resources = render("cpu")
    service = pick(resources, "Service", "model-server")
    assert service["spec"]["clusterIP"] == "None"
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local."
    backend = environment(container(resources, "gateway"))["DETECT_BACKEND"]
    assert backend == f"dns:///{name}:{ports['grpc']}"


@pytest.mark.parametrize("component", COMPONENTS)
def test_selectors_match_the_pods_of_their_component_alone(component: str) -> None:
    values = [v for n in ("pod monitors", "scaled model servers", "bulk") for v in SWITCHES[n]]
    resources = render("cpu", *values)
    labels = {
        r["metadata"]["name"]: r["spec"]["template"]["metadata"]["labels"]
        for r in resources
        if r["kind"] in ("Deployment", "Job")
    }
    assert set(labels) == {"mine-gateway", "mine-model-server", "mine-bulk"}
    selectors = []
    for resource in resources:
        if resource["metadata"]["name"] == f"mine-{component}":
            spec = resource["spec"]
            selector = spec.get("selector") or spec.get("podSelector") or {}
            selectors.append(selector.get("matchLabels", selector))
    selectors = [selector for selector in selectors if selector]
    assert len(selectors) == 5  # Deployment, Service, PDB, NetworkPolicy, PodMonitor
    for selector in selectors:
        matched = [n for n, of in labels.items() if selector.items() <= of.items()]
        assert matched == [f"mine-{component}"]
    targets = [
        r["spec"]["scaleTargetRef"]["name"] for r in resources if "scaleTargetRef" in r["spec"]
    ]
    assert sorted(targets) == ["mine-gateway", "mine-model-server"]


@pytest.mark.parametrize(("target", "switch"), CASES)
def test_ports_and_volumes_that_are_named_exist(target: str, switch: str) -> None:
    resources = render(target, *SWITCHES[switch])
    for resource in resources:
        if resource["kind"] not in ("Deployment", "Job"):
            continue
        spec = pod(resource)
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounted = set()
        for each in spec["containers"] + spec.get("initContainers", []):
            ports = {port["name"] for port in each.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                action = each.get(probe, {})
                named = action.get("httpGet", action.get("tcpSocket", {})).get("port")
                assert named is None or named in ports
            mounted |= {mount["name"] for mount in each["volumeMounts"]}
        assert mounted == volumes
    for component in COMPONENTS:
        ports = {p["name"] for p in container(resources, component)["ports"]}
        service = pick(resources, "Service", component)["spec"]
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_the_network_policies_open_the_ports_that_are_used() -> None:
    resources = render("cpu")
    for component in COMPONENTS:
        numbers = {p["containerPort"] for p in container(resources, component)["ports"]}
        policy = pick(resources, "NetworkPolicy", component)["spec"]
        assert {p["port"] for rule in policy["ingress"] for p in rule["ports"]} == numbers
    assert pick(resources, "NetworkPolicy", "model-server")["spec"]["egress"] == []
    gateway = pick(resources, "NetworkPolicy", "gateway")["spec"]["egress"]
    labels = pick(resources, "Deployment", "model-server")["spec"]["selector"]["matchLabels"]
    assert gateway[0]["to"] == [{"podSelector": {"matchLabels": labels}}]
    egress = pick(render("cpu", *SWITCHES["bucket"]), "NetworkPolicy", "model-server")["spec"][
        "egress"
    ]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {443, 53, 80}


@pytest.mark.parametrize(("target", "switch"), CASES)
def test_every_container_is_as_confined_as_in_compose(target: str, switch: str) -> None:
    for resource in render(target, *SWITCHES[switch]):
        if resource["kind"] not in ("Deployment", "Job"):
            continue
        spec = pod(resource)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False  # DETECT_PORT=tcp://10.0.0.1:80 stops a gateway
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 65532  # of docker/Dockerfile.gateway
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in spec["containers"] + spec.get("initContainers", []):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://otel-collector.monitoring:4317", 4317),
        ("https://otlp.example.com", 443),
        ("http://collector/v1", 80),
    ],
)
def test_traces_reach_the_collector(endpoint: str, port: int) -> None:
    resources = render("cpu", "otel.enabled=true", f"otel.endpoint={endpoint}")
    variables = {v["name"]: v.get("value", v) for v in container(resources, "gateway")["env"]}
    pod_name = {"fieldRef": {"fieldPath": "metadata.name"}}
    assert variables["POD_NAME"] == {"name": "POD_NAME", "valueFrom": pod_name}
    assert list(variables).index("POD_NAME") < list(variables).index("OTEL_RESOURCE_ATTRIBUTES")
    assert variables["OTEL_RESOURCE_ATTRIBUTES"].endswith(",k8s.pod.name=$(POD_NAME)")
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    assert (variables["DETECT_TRACING"], variables["OTEL_TRACES_SAMPLER_ARG"]) == ("on", "0.01")
    egress = pick(resources, "NetworkPolicy", "gateway")["spec"]["egress"]
    assert {"ports": [{"port": port}]} in egress


def test_no_traces_by_default() -> None:
    resources = render("cpu")
    assert not [name for name in environment(container(resources, "gateway")) if "OTEL" in name]
    assert len(pick(resources, "NetworkPolicy", "gateway")["spec"]["egress"]) == 2


@pytest.mark.parametrize("target", TARGETS)
def test_images_arguments_and_warm_up_are_those_of_compose_and_the_dockerfile(target: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    include = yaml.safe_load((ROOT / f"docker/compose.{target}.yml").read_text())["services"]
    resources = render(target)
    images = {c: container(resources, c)["image"] for c in COMPONENTS}
    assert images == {
        "gateway": f"{compose['gateway']['image']}:{__version__}",
        "model-server": f"{include['model-server']['image']}:{__version__}",
    }
    server = container(resources, "model-server")
    dockerfile = include["model-server"]["build"]["dockerfile"]
    command = re.findall(r"^CMD (\[(?:.|\\\n)*?\])$", (ROOT / dockerfile).read_text(), re.MULTILINE)
    own = yaml.safe_load(command[0].replace("\\\n", "")) if command else []
    assert server["args"][:-1] == own
    warm_up_s = int(include["model-server"]["healthcheck"]["start_period"].removesuffix("s"))
    startup = server["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= warm_up_s


def test_the_chart_names_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_the_jobs_of_rules_and_dashboard_are_the_components() -> None:
    resources = render("cpu", *SWITCHES["pod monitors"], *SWITCHES["dashboard"])
    monitors = [r for r in resources if r["kind"] == "PodMonitor"]
    labels = {m["spec"]["selector"]["matchLabels"][m["spec"]["jobLabel"]] for m in monitors}
    text = pick(resources, "ConfigMap", "dashboard")["data"]["detect.json"]
    assert text.strip() == (ROOT / "docker/grafana/dashboards/yolov4.json").read_text().strip()
    assert set(re.findall(r'job=\\?"([\w-]+)\\?"', text)) - {"chip"} <= labels
    assert all(m["metadata"]["labels"]["release"] == "p" for m in monitors)


def test_a_canary_is_set_by_values_of_gateway_and_model_server() -> None:
    values = {
        "modelServer.env.MODEL_VERSIONS": r"1\,2",
        "modelServer.env.MODEL_LABELS": r"stable=1\,canary=2",
        "gateway.settings.DETECT_MODEL_VERSION": "stable",
        "gateway.settings.DETECT_CANARY": "canary:10",
    }
    resources = render("cpu", *(f"{name}={value}" for name, value in values.items()))
    assert gateway_settings(resources).canaries == {"yolov4-tiny": ("canary", 10)}
    server = environment(container(resources, "model-server"))
    assert (server["MODEL_VERSIONS"], server["MODEL_LABELS"]) == ("1,2", "stable=1,canary=2")
