"""How many pods: devices, disruption budgets, autoscaling, and the workers of a bulk job."""

import pytest
import yaml

from tests.support.project import ROOT

from .rendering import COMPONENTS, SWITCHES, needs_tools, pick, pod, render

pytestmark = needs_tools


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
