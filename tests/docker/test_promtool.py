"""Prometheus's own tool on the configuration, the rules and the gateway's metrics."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.monitoring import PROMETHEUS, dashboard_expressions, rules
from tests.support.oracles import foreign_metrics
from tests.support.oracles.foreign_metrics import SCRAPES
from tests.support.processes import compose
from tests.support.project import ROOT


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
