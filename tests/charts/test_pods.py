"""What schemas cannot check: names, ports, times and settings that must agree with each other."""

import re
from typing import Any

import pytest
import yaml

from service import __version__
from service.core.threads import ThreadSettings
from service.settings import Settings
from tests.support.project import ROOT

from .rendering import CASES, CHART, SWITCHES, TARGETS, Resource, needs_tools, pick, refused, render

pytestmark = needs_tools
COMPONENTS = ("gateway", "model-server")
COREDNS_TTL_S = 30  # of the Corefile that EKS and kubeadm install


def pod(resource: Resource) -> Any:
    return resource["spec"]["template"]["spec"]


def container(resources: list[Resource], component: str) -> Any:
    first, *_ = pod(pick(resources, "Deployment", component))["containers"]
    return first


def environment(container: Any) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


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


@pytest.mark.parametrize(
    ("target", "device", "instance"),
    [
        ("cpu", None, None),
        ("g4", "nvidia.com/gpu", "g4dn.xlarge"),
        ("inf1", "aws.amazon.com/neuron", "inf1.2xlarge"),
    ],
)
def test_devices_and_nodes(target: str, device: str | None, instance: str | None) -> None:
    deployment = pick(render(target), "Deployment", "model-server")
    spec = pod(deployment)
    limits = spec["containers"][0]["resources"]["limits"]
    assert {name: n for name, n in limits.items() if "/" in name} == ({device: 1} if device else {})
    selector = spec.get("nodeSelector", {})
    assert selector.get("node.kubernetes.io/instance-type") == instance
    tolerated = [toleration["key"] for toleration in spec.get("tolerations", [])]
    assert tolerated == ([device] if device else [])
    # One device in a node: a new pod has no room before an old one has left.
    surge = deployment["spec"]["strategy"]["rollingUpdate"]
    assert surge == {"maxSurge": int(not device), "maxUnavailable": int(bool(device))}


@pytest.mark.parametrize("component", COMPONENTS)
def test_disruptions_take_one_of_at_least_two(component: str) -> None:
    resources = render("cpu", "gateway.autoscaling.enabled=false")
    budget = pick(resources, "PodDisruptionBudget", component)["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert pick(resources, "Deployment", component)["spec"]["replicas"] == 2


def test_autoscaled_deployments_have_no_replicas_of_their_own() -> None:
    resources = render("cpu", *SWITCHES["scaled model servers"])
    for component in COMPONENTS:
        assert "replicas" not in pick(resources, "Deployment", component)["spec"]


def test_the_model_servers_scale_on_a_rule_that_is_recorded() -> None:
    resources = render("cpu", *SWITCHES["scaled model servers"], *SWITCHES["rules"])
    trigger = pick(resources, "ScaledObject")["spec"]["triggers"][0]["metadata"]
    rules = pick(resources, "PrometheusRule")["spec"]
    assert rules == yaml.safe_load((ROOT / "docker/prometheus/rules.yml").read_text())
    recorded = {rule.get("record") for group in rules["groups"] for rule in group["rules"]}
    assert trigger["query"] == 'sum(detect:demanded_calls{namespace="ours"})'
    assert "detect:demanded_calls" in recorded
    assert trigger["ignoreNullValues"] == "false"


def test_the_jobs_of_rules_and_dashboard_are_the_components() -> None:
    resources = render("cpu", *SWITCHES["pod monitors"], *SWITCHES["dashboard"])
    monitors = [r for r in resources if r["kind"] == "PodMonitor"]
    labels = {m["spec"]["selector"]["matchLabels"][m["spec"]["jobLabel"]] for m in monitors}
    text = pick(resources, "ConfigMap", "dashboard")["data"]["detect.json"]
    assert text.strip() == (ROOT / "docker/grafana/dashboards/yolov4.json").read_text().strip()
    assert set(re.findall(r'job=\\?"([\w-]+)\\?"', text)) - {"chip"} <= labels
    assert all(m["metadata"]["labels"]["release"] == "p" for m in monitors)


def test_the_bulk_job_is_one_worker_for_each_index() -> None:
    job = pick(render("cpu", *SWITCHES["bulk"], "bulk.workers=7"), "Job")["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 7, 7)
    worker = job["template"]["spec"]["containers"][0]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert worker["command"] + worker["args"] == [
        *("detect", "bulk", "s3://pictures/in", "s3://pictures/out"),
        *("--url=http://mine-gateway:80", "--workers=7", "--score-threshold=0.5"),
    ]
    assert worker["image"].startswith("detect-client:")


def test_a_bulk_job_without_gateways_may_call_the_model_servers() -> None:
    resources = render("cpu", *SWITCHES["bulk without gateways"])
    job = pick(resources, "Job")["spec"]["template"]
    assert job["spec"]["containers"][0]["args"][2:] == [
        *("--server=dns:///mine-model-server:8500", "--model=yolov4-tiny", "--workers=4"),
    ]
    peers = pick(resources, "NetworkPolicy", "model-server")["spec"]["ingress"][0]["from"]
    selectors = [peer["podSelector"]["matchLabels"] for peer in peers]
    assert any(s.items() <= job["metadata"]["labels"].items() for s in selectors)
    through = pick(render("cpu", *SWITCHES["bulk"]), "NetworkPolicy", "model-server")["spec"]
    assert len(through["ingress"][0]["from"]) == 1


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
