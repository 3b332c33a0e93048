"""The metrics: buckets, the model version in use, versions of the build, lost log lines."""

import platform
from itertools import pairwise

import pytest
import tomllib
from prometheus_client import generate_latest

import service
from service.core import logs
from service.core.metrics import SECONDS, Metrics
from tests.support.project import ROOT


def test_buckets_resolve_a_p90_between_5_ms_and_2_s() -> None:
    inside = [b for b in SECONDS if 0.0035 <= b <= 2.8]
    steps = [b / a for a, b in pairwise(inside)]
    assert inside[0] <= 0.005
    assert inside[-1] >= 2
    assert max(steps) < 1.45


def test_buckets_contain_the_latency_targets() -> None:
    assert {0.1, 0.25, 0.5, 1.0} <= set(SECONDS)
    assert list(SECONDS) == sorted(set(SECONDS))
    assert (SECONDS[0], SECONDS[-1]) == (0.001, 14)


def test_refusals_are_apart_from_answers() -> None:
    metrics = Metrics()
    for _ in range(99):
        metrics.request_seconds("/detect", "5xx").observe(0.001)
    metrics.request_seconds("/detect", "2xx").observe(0.4)
    value = metrics.registry.get_sample_value
    name = "detect_request_duration_seconds_bucket"
    answers = {"route": "/detect", "code_class": "2xx"}
    assert value(name, {**answers, "le": "0.25"}) == 0
    assert value(name, {**answers, "le": "0.5"}) == 1


def test_only_the_newest_version_is_shown() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.show_version("coco", 1)
    metrics.show_version("voc", 1)
    metrics.show_version("voc", 2)
    assert value("detect_backend_ready", {"model": "voc", "track": "stable"}) == 1
    assert value("detect_model_info", {"name": "voc", "track": "stable", "version": "2"}) == 1
    assert value("detect_model_info", {"name": "voc", "track": "stable", "version": "1"}) is None
    metrics.show_version("voc", None)
    assert value("detect_backend_ready", {"model": "voc", "track": "stable"}) == 0
    assert value("detect_model_info", {"name": "voc", "track": "stable", "version": "2"}) is None
    assert value("detect_model_info", {"name": "coco", "track": "stable", "version": "1"}) == 1


def test_build_info() -> None:
    labels = {"version": service.__version__, "python": platform.python_version()}
    assert Metrics().registry.get_sample_value("detect_build_info", labels) == 1


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    dynamic = project["tool"]["setuptools"]["dynamic"]["version"]
    assert dynamic == {"attr": "service.__version__"}


def test_lost_log_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    monkeypatch.setattr(logs, "dropped", lambda: 7)
    assert metrics.registry.get_sample_value("detect_log_dropped_total") == 7
    assert b"# TYPE detect_log_dropped_total counter" in generate_latest(metrics.registry)
