"""The dashboard and the alerts ask only for metrics that somebody exposes."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.support import compose
from tests.support.fake_backend import FakeBackend
from tests.support.foreign_metrics import FOREIGN
from tests.support.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT
from tests.support.promql import grouped, metrics

PROMETHEUS = ROOT / "docker" / "prometheus"
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(scope="module")
def ours() -> Iterator[dict[str, set[str]]]:
    """Sample -> its labels, as a gateway exposes them that answered, refused and is ready."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 48)).save(picture, "JPEG")
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        for content, status in ((picture.getvalue(), 200), (b"no picture", 400)):
            sent = gateway.http.post(
                "/detect", content=content, headers={"Content-Type": "image/jpeg"}
            )
            assert sent.status_code == status
        wait_for(lambda: gateway.metric("detect_backend_ready") == 1)
        found: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(gateway.http.get("/metrics").text):
            for sample in family.samples:
                # What Prometheus adds to everything it scrapes.
                found.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
        yield found


def rules() -> dict[str, str]:
    """Record or alert -> its expression."""
    text = (PROMETHEUS / "rules.yml").read_text()
    found = re.findall(r"- (?:record|alert): (\S+)\n +expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", text)
    assert len(found) == len(re.findall(r"\bexpr:", text))
    return {name: folded or line for name, folded, line in found}


def dashboard_expressions() -> list[str]:
    found = []
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        targets = [t for panel in dashboard["panels"] for t in panel.get("targets", [])]
        found += [query["expr"] for query in [*targets, *dashboard["annotations"]["list"]]]
    return found


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


def test_every_metric_asked_for_is_exposed_by_somebody(ours: dict[str, set[str]]) -> None:
    recorded = {name: set[str]() for name in rules() if ":" in name}
    known = {**FOREIGN, **recorded, **ours}
    expressions = [*rules().values(), *dashboard_expressions()]
    assert len(expressions) > 40
    for expression in expressions:
        asked = metrics(expression)
        assert asked or "vector" in expression, expression
        for name, labels in asked.items():
            assert name in known, f"nobody exposes {name}: {expression}"
            assert labels <= known[name], f"{name} has no label {labels - known[name]}"
        everything = set[str]().union(*(known[name] for name in asked))
        assert grouped(expression) <= everything, expression


def test_every_instrument_of_ours_is_shown(ours: dict[str, set[str]]) -> None:
    """One that nobody looks at is one to remove, or a panel that is missing."""
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
    assert limits["Requests that fail"] == float(error[1])


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


@pytest.fixture
def promtool() -> str:
    return compose.linter("promtool")


def test_prometheus_accepts_configuration_and_rules(promtool: str) -> None:
    done = compose.run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_not_before(promtool: str) -> None:
    done = compose.run(promtool, "test", "rules", ROOT / "tests/docker/prometheus_rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_every_expression_of_the_dashboard(
    promtool: str, tmp_path: Path
) -> None:
    lines = ["groups:", "  - name: dashboard", "    rules:"]
    for number, expression in enumerate(dashboard_expressions()):
        plain = expression.replace("$__rate_interval", "1m")
        lines += [f"      - record: e{number}", f"        expr: {json.dumps(plain)}"]
    (tmp_path / "rules.yml").write_text("\n".join(lines) + "\n")
    done = compose.run(promtool, "check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
