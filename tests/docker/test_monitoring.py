"""The dashboard and the alerts, against the metrics that the gateway and the exporters have."""

import io
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from PIL import Image

from service.api.app import create_app
from service.core.lifecycle import Lifecycle
from service.core.metrics import Metrics
from service.detection.canary import position
from service.settings import Settings
from tests.support.fakes.fake_backend import DOG, FakeBackend, Refuse, answer
from tests.support.oracles import foreign_metrics
from tests.support.oracles.foreign_metrics import FOREIGN, SCRAPES
from tests.support.oracles.promql import grouped, metrics
from tests.support.processes import compose
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT

PROMETHEUS = ROOT / "docker" / "prometheus"
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))


# Request ids, by the track that they get.
CALLERS = {
    "canary" if position("", "yolov4", "2", name) < 50 else "stable": name for name in "abcdefgh"
}


def usual(_: bytes) -> Any:
    return answer([DOG])


@pytest.fixture(scope="module")
def scrape() -> Iterator[str]:
    """/metrics of a gateway that answered, rejected and failed requests, with a canary and a
    shadow version included."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 48)).save(picture, "JPEG")
    with (
        FakeBackend(versions={1: usual, 2: usual}) as backend,
        GatewayProcess(
            backend=backend.target,
            max_in_flight=1,
            max_queue=0,
            model_version="1",
            canary="2:50",
            shadow="2:100",
        ) as gateway,
        ThreadPoolExecutor() as callers,
    ):

        def post(content: bytes, caller: str = "stable") -> int:
            headers = {"Content-Type": "image/jpeg", "X-Request-ID": CALLERS[caller]}
            return gateway.http.post("/detect", content=content, headers=headers).status_code

        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        wait_for(lambda: gateway.metric("detect_backend_ready") == 3)
        assert post(picture.getvalue()) == 200
        assert post(picture.getvalue(), "canary") == 200
        wait_for(lambda: gateway.metric('detect_shadow_images_total{outcome="compared"}') == 1)
        assert post(b"no picture") == 400
        backend.delay_s = 0.5
        assert sorted(callers.map(post, [picture.getvalue()] * 2)) == [200, 503]
        backend.versions = {1: _fail, 2: _fail}
        assert post(picture.getvalue(), "canary") == 503
        assert post(picture.getvalue()) == 503
        yield gateway.http.get("/metrics").text


def _fail(_: bytes) -> None:
    raise Refuse(StatusCode.INTERNAL)


@pytest.fixture(scope="module")
def ours(scrape: str) -> dict[str, set[str]]:
    return foreign_metrics.labels(scrape)


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


@pytest.fixture
def promtool() -> str:
    return compose.linter("promtool")


def test_prometheus_accepts_configuration_and_rules(promtool: str, tmp_path: Path) -> None:
    version = re.search(r"version (\d+)\.", compose.run(promtool, "--version").stdout)
    assert version
    for path in PROMETHEUS.iterdir():
        text = path.read_text()
        if int(version[1]) < 3:  # compose pins 3; this is the one line that 2 does not know
            text = text.replace("    fallback_scrape_protocol: PrometheusText0.0.4\n", "")
        (tmp_path / path.name).write_text(text)
    done = compose.run(promtool, "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 3 rules found" not in done.stdout  # the rule files were read, and have more
    assert "rules found" in done.stdout


def test_exporters_without_a_content_type_can_be_scraped() -> None:
    """Prometheus 3, which compose pins, rejects a scrape without one unless told what it is."""
    yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed")
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    (chip,) = (job for job in jobs if job["job_name"] == "chip")
    assert chip["fallback_scrape_protocol"] == "PrometheusText0.0.4"
    assert "prom/prometheus:v3." in (ROOT / "docker-compose.yml").read_text()


def test_the_gateways_metrics_follow_the_conventions(scrape: str, promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_alerts_fire_when_they_should_and_not_before(promtool: str) -> None:
    done = compose.run(promtool, "test", "rules", ROOT / "tests/docker/prometheus_rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_panel_shows_something(scrape: str, promtool: str, tmp_path: Path) -> None:
    """Each of its queries has a result for scrapes in the real shape."""
    series = [
        {"series": _with_job(sample, job), "values": values}
        for job, text in {"gateway": scrape, **SCRAPES}.items()
        for sample, values in _samples(text)
    ]
    series += [{"series": f'up{{job="{job}",instance="x"}}', "values": "1x60"} for job in SCRAPES]
    queries = [
        {
            "expr": f"count({expression.replace('$__rate_interval', '1m')}) > bool 0",
            "eval_time": "12m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expression in dashboard_expressions()
        if not expression.startswith("ALERTS")
    ]
    tests = {
        "rule_files": [str(PROMETHEUS / "rules.yml")],
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": queries}],
    }
    (tmp_path / "tests.yml").write_text(json.dumps(tests))  # JSON is YAML
    done = compose.run(promtool, "test", "rules", tmp_path / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


# Series in a scrape that shows the fault, and their values over 15 minutes: the alert it fires.
FAULTS = {
    "ModelServerDown": {"up{job=model-server}": "0x60"},
    "ChipMetricsLost": {"up{job=chip}": "0x60"},
    "ChipFailing": {"execution_errors_total{error_type=hardware}": "0+1x60"},
    "ChipExecutionsFailing": {"execution_status_total{status_type=timed_out}": "0+1x60"},
    "GpuXidError": {"DCGM_FI_DEV_XID_ERRORS{}": "79x60"},
    "GpuHot": {"DCGM_FI_DEV_GPU_TEMP{}": "88x60"},
    "HostBusy": {"system_vcpu_usage_ratio{usage_type=user}": "0.97x60"},
}


@pytest.mark.parametrize("alert", ["", *FAULTS])
def test_alerts_fire_on_scrapes_in_the_real_shape(
    alert: str, scrape: str, promtool: str, tmp_path: Path
) -> None:
    """One alert for one fault, with the labels that the exporters have; and none without."""
    series = []
    for job, text in {"gateway": scrape, **SCRAPES}.items():
        up = {"series": f'up{{job="{job}",instance="x"}}', "values": "1x60"}
        steady = [{"series": _with_job(s, job), "values": _steady(v)} for s, v in _samples(text)]
        series += [up, *steady]
    changed = 0
    for fault, values in FAULTS.get(alert, {}).items():
        name, _, label = fault.rstrip("}").partition("{")
        wanted = label.replace("=", '="') + '"' if label else ""
        for one in series:
            if one["series"].startswith(f"{name}{{") and wanted in one["series"]:
                one["values"] = values
                changed += 1
    assert changed == (1 if alert else 0)
    firing = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    test = {
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": "14m", "exp_samples": firing}],
    }
    rules_file = str(PROMETHEUS / "rules.yml")
    tests = {"rule_files": [rules_file], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "tests.yml").write_text(json.dumps(tests))
    done = compose.run(promtool, "test", "rules", tmp_path / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    tested = (ROOT / "tests/docker/prometheus_rules.yml").read_text()
    for alert in (name for name in rules() if ":" not in name):
        assert alert in FAULTS or re.search(rf"\b{alert}\b", tested), alert


def _steady(values: str) -> str:
    """The first value throughout: nothing happens."""
    return values.removeprefix("0+")


def _samples(scrape: str) -> Iterator[tuple[str, str]]:
    """Series, and its values over 15 minutes: counters grow, gauges stay."""
    for name, sample, accumulates in foreign_metrics.samples(scrape):
        pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in sample.labels.items())
        start = "0+" if accumulates else ""
        yield f"{name}{{{pairs}}}", f"{start}{sample.value}x60"


def _with_job(series: str, job: str) -> str:
    return series.replace("{", f'{{job="{job}",instance="x",', 1).replace(",}", "}")
