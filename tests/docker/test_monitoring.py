"""The dashboard and the alerts, against the metrics that the gateway and the exporters have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.api.app import create_app
from service.core.lifecycle import Lifecycle
from service.core.metrics import Metrics
from service.settings import Settings
from tests.docker.monitoring import DASHBOARDS, PROMETHEUS, dashboard_expressions, rules
from tests.support.oracles import foreign_metrics
from tests.support.oracles.foreign_metrics import FOREIGN
from tests.support.oracles.promql import grouped, metrics
from tests.support.project import ROOT


@pytest.fixture(scope="module")
def ours(scrape: str) -> dict[str, set[str]]:
    return foreign_metrics.labels(scrape)


def test_promql_is_read() -> None:
    expression = (
        'sum by (le, code) (rate(a_bucket{route=~"/d.*", code!="by (x)"}[$__rate_interval])) / 1e6'
        " or :b:c:d_sum and on (gpu) scalar(up) * offset_seconds offset 5m"
    )
    assert metrics(expression) == {
        "a_bucket": {"route", "code"},
        ":b:c:d_sum": set(),
        "up": set(),
        "offset_seconds": set(),
    }
    assert grouped(expression) == {"le", "code", "gpu"}


def test_every_metric_in_an_expression_exists(ours: dict[str, set[str]]) -> None:
    recorded = {name: grouped(rule) for name, rule in rules().items() if ":" in name}
    known = {**FOREIGN, **recorded, **ours}
    expressions = [*rules().values(), *dashboard_expressions()]
    assert len(expressions) > 40
    for expression in expressions:
        asked = metrics(expression)
        assert asked or "vector" in expression, expression
        for name, labels in asked.items():
            assert name in known, f"no exporter has {name}: {expression}"
            assert labels <= known[name], f"{name} has no label {labels - known[name]}"
        # The Prometheus operator adds `namespace` to every target; compose's Prometheus does not.
        everything = {"namespace"}.union(*(known[name] for name in asked))
        assert grouped(expression) <= everything, expression


def test_every_instrument_of_ours_is_shown(ours: dict[str, set[str]]) -> None:
    """An unused metric is one to remove, or a missing panel."""
    asked = {name for e in [*rules().values(), *dashboard_expressions()] for name in metrics(e)}
    families = {re.sub(r"_(bucket|sum|count|total|info)$", "", name) for name in asked}
    for name in ours:
        if name.startswith("detect_"):
            assert re.sub(r"_(bucket|sum|count|total|info)$", "", name) in families, name


def test_the_dashboard_draws_the_limits_that_the_alerts_have() -> None:
    target = re.fullmatch(r"vector\((.*)\)", rules()["detect:latency_target_seconds"])
    error = re.search(r"> ([\d.]+)$", rules()["ManyErrors"])
    assert target
    assert error
    (dashboard,) = (json.loads(path.read_text()) for path in DASHBOARDS)
    limits = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        for panel in dashboard["panels"]
        if panel["type"] == "stat"
    }
    assert limits["Latency"] == float(target[1])
    assert limits["Error ratio"] == float(error[1])


def test_routes_of_detections_are_those_of_every_api() -> None:
    app = create_app(Settings(), Metrics(), Lifecycle())
    methods = {
        getattr(route, "path", ""): getattr(route, "methods", ()) for route in app.router.routes
    }
    posts = {path for path in methods if "POST" in methods[path]}
    detections = posts - {"/v1/vision/custom/list"}
    assert {"/detect", "/detect/batch", "/invocations"} < detections
    expressions = [*rules().values(), *dashboard_expressions()]
    for metric, routes in (
        (
            "detect_request_duration_seconds_bucket",
            {path for path in detections if not path.endswith("/batch")},
        ),
        ("detect_requests_total", detections),
    ):
        (pattern,) = {
            pattern
            for expression in expressions
            for pattern in re.findall(rf'{metric}{{route=~"([^"]+)"', expression)
        }
        assert {path for path in methods if re.fullmatch(pattern, path)} == routes


def test_panels_do_not_overlap_and_know_their_datasource() -> None:
    for path in DASHBOARDS:
        cells: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            place = panel["gridPos"]
            own = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not own & cells, panel["title"]
            assert place["x"] + place["w"] <= 24
            cells |= own
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == "prometheus"
    provisioned = ROOT / "docker/grafana/provisioning/datasources/prometheus.yml"
    assert "uid: prometheus\n" in provisioned.read_text()


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "docker").rglob("*.yml")),
        ROOT / "docker-compose.yml",
        ROOT / "tests/docker/prometheus_rules.yml",
    ],
    ids=lambda path: path.name,
)
def test_yaml_is_yaml(path: Path) -> None:
    yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed")
    assert yaml.safe_load(path.read_text())


def test_exporters_without_a_content_type_can_be_scraped() -> None:
    """Prometheus 3, which compose pins, rejects a scrape without one unless told what it is."""
    yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed")
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    (chip,) = (job for job in jobs if job["job_name"] == "chip")
    assert chip["fallback_scrape_protocol"] == "PrometheusText0.0.4"
    assert "prom/prometheus:v3." in (ROOT / "docker-compose.yml").read_text()
