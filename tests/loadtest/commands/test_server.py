"""`python -m loadtest server`: the highest rate within a P99 limit, over real sockets."""

import json
import math
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from loadtest.commands.server import p99_interval
from loadtest.commands.tally import Histogram
from loadtest.load import (
    RATE_PRECISION,
    arrivals,
)
from tests.loadtest.commands.server_runs import arguments, server
from tests.support.fakes.fake_service import Reply, found, problem
from tests.support.fakes.load_target import LoadTarget, run_json, running
from tests.support.processes.gateway_process import wait_for


def test_the_highest_rate_within_the_bound(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Above 150 a second the service rejects, except for the first few requests of a trial."""
    saved, since = 10.0, time.monotonic()

    def reply(picture: bytes) -> Reply:
        nonlocal saved, since
        now = time.monotonic()
        saved, since = min(10.0, saved + 150 * (now - since)), now
        if saved < 1:
            return problem(503, "full")
        saved -= 1
        return found([])

    with LoadTarget(reply, takes_s=0.005) as service:
        more = ("--seconds", "0.1s", "--requests", "120", "--bound-ms", "5000")
        assert server(service, images, *more) == 0
    run = run_json(images)
    assert (run["kind"], run["ended"]) == ("server", "complete")
    passed = [step["rate"] for step in run["search"] if step["passed"]]
    failed = [step["rate"] for step in run["search"] if not step["passed"]]
    assert passed
    assert failed
    assert max(passed) < min(failed) <= max(passed) * RATE_PRECISION * 1.001
    assert all(
        s["answered_share"] < 0.99 and s["p99_ms"] is None for s in run["search"] if not s["passed"]
    )
    assert all(
        s["answered_share"] >= 0.99 and s["p99_ms"] <= 5000 for s in run["search"] if s["passed"]
    )
    assert len(run["windows"]) == len(run["search"])
    assert all(w["images"] + sum(w["errors"].values()) == 120 for w in run["windows"])
    best = next(s for s in run["search"] if s["rate"] == max(passed))
    assert run["summary"]["latency_ms"]["p99"] == best["p99_ms"]
    assert run["summary"]["images"] == round(best["answered_share"] * 120)
    assert sum(count for _, count in run["histogram"]["buckets"]) == run["summary"]["images"]
    assert f"{max(passed):.2f} requests/s with P99 within 5000 ms" in capsys.readouterr().out


def test_an_unreachable_limit_is_exit_status_1(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoadTarget(takes_s=0.01) as service:
        more = ("--seconds", "0.01s", "--requests", "1", "--bound-ms", "1")
        assert server(service, images, *more) == 1
    run = run_json(images)
    assert run["ended"] == "complete"
    assert not any(step["passed"] for step in run["search"])
    assert run["summary"]["images"] == 1
    assert "no rate keeps P99 within 1 ms" in capsys.readouterr().out


def test_one_rate_without_a_search(images: Path) -> None:
    with LoadTarget() as service:
        assert (
            server(
                service,
                images,
                "--rate",
                "80",
                "--seconds",
                "1s",
                "--requests",
                "100",
                "--seed",
                "5",
            )
            == 0
        )
        expected = len(list(arrivals(80, 1, 100, 5)))
        assert len(service.received) == 1 + expected  # after the warm-up
        assert service.url == run_json(images)["target"]["url"]
    run = run_json(images)
    assert [step["rate"] for step in run["search"]] == [80]
    assert run["summary"]["images"] == expected
    assert run["seed"] == 5


def test_an_interrupted_search_saves_its_trials(images: Path) -> None:
    more = ("--seconds", "1s", "--requests", "20", "--bound-ms", "5000")
    with (
        LoadTarget(takes_s=0.005) as service,
        running(arguments(service, images, *more)) as process,
    ):
        file = images.parent / "out" / "run.json"
        wait_for(lambda: file.exists() and run_json(images)["search"], 60)
        before = service.requests
        wait_for(lambda: service.requests > before + 5, 60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    run = run_json(images)
    assert run["ended"] == "interrupted"
    assert len(run["search"]) >= 1
    assert len(run["windows"]) == len(run["search"]) + 1  # the trial that was not judged
    assert run["summary"]["images"] > 0


def test_an_outage_is_not_a_slow_service(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def reply(picture: bytes) -> Reply:
        if len(service.received) > 30:
            service.stop_soon()
        return found([])

    with LoadTarget(reply, takes_s=0.005) as service:
        assert server(service, images, "--rate", "50", "--seconds", "1s", "--requests", "100") == 1
    run = run_json(images)
    assert (run["ended"], run["search"]) == ("interrupted", [])
    assert set(run["summary"]["errors"]) <= {"connection", "unreachable"}
    assert run["summary"]["images"] + sum(run["summary"]["errors"].values()) == 100
    assert "became unavailable; results so far are in " in capsys.readouterr().err


def test_a_deleted_picture_is_reported_in_one_line(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.pictures.CACHE_BYTES", 10)

    def reply(picture: bytes) -> Reply:
        (images / "07.jpg").unlink(missing_ok=True)
        return found([])

    with LoadTarget(reply) as service:
        assert server(service, images, "--rate", "50", "--seconds", "1s", "--requests", "100") == 1
    said = capsys.readouterr().err
    assert "07.jpg: No such file or directory; results so far are in" in said
    assert "Traceback" not in said
    assert run_json(images)["ended"] == "interrupted"


def test_failures_are_infinitely_slow(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of a hundred fail at once: that passed as 98 % answered with a fast P99."""

    def reply(picture: bytes) -> Reply:
        return problem(503, "full") if len(service.received) in (30, 60) else found([])

    with LoadTarget(reply) as service:
        more = ("--rate", "100", "--seconds", "0.1s", "--requests", "100", "--bound-ms", "9000")
        assert server(service, images, *more) == 0
    (trial,) = run_json(images)["search"]
    assert (trial["passed"], trial["p99_ms"], trial["answered_share"]) == (False, None, 0.98)
    said = capsys.readouterr().out
    assert "P99 infinite of only 100 requests, 98.0% of 100 answered (503: 2): failed" in said
    assert "no rate keeps P99 within 9000 ms" in said


def test_the_p99_of_few_requests_is_not_known(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand are the default, and give an interval of confidence."""
    with LoadTarget() as service:
        few = ("--rate", "400", "--seconds", "0.1s", "--bound-ms", "9000")
        assert server(service, images, *few, "--requests", "200") == 0
        said = capsys.readouterr()
        assert "P99 is not known: 200 requests per trial, 1000 needed" in said.err
        assert "of only 200 requests" in said.out
        assert server(service, images, *few, "--out", str(images.parent / "more")) == 0
        said = capsys.readouterr()
        assert "not known" not in said.err
        assert "(95 % confidence " in said.out
    (trial,) = _search(images)
    low, high = trial["p99_interval_ms"]
    assert trial["requests"] == 1000
    assert low <= trial["p99_ms"] <= high


def _search(images: Path) -> list[dict[str, Any]]:
    run = json.loads((images.parent / "more" / "run.json").read_text())
    search: list[dict[str, Any]] = run["search"]
    return search


def test_the_interval_contains_the_true_p99() -> None:
    """In 95 % of samples: of 300 samples of 1,000 exponential latencies, nearly all of 285."""
    numbers = random.Random(11)
    true_ms = 1e3 * 0.01 * math.log(100)
    inside = 0
    for _ in range(300):
        histogram = Histogram()
        for _ in range(1000):
            histogram.add(numbers.expovariate(1 / 0.01))
        low, high = p99_interval(histogram)
        assert low is not None
        assert high is not None
        inside += low / 1.01 <= true_ms <= high * 1.01
    assert 275 <= inside < 300


def test_repeats_are_judged_by_their_median_and_shown(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(picture: bytes) -> Reply:
        # The second of three repeats fails entirely.
        return problem(503, "full") if 21 < len(service.received) <= 41 else found([])

    with LoadTarget(reply) as service:
        more = ("--rate", "100", "--seconds", "0.1s", "--requests", "20", "--bound-ms", "9000")
        assert server(service, images, *more, "--repeats", "3") == 0
    (trial,) = run_json(images)["search"]
    assert trial["passed"]
    assert len(trial["p99_repeats_ms"]) == 3
    assert trial["p99_repeats_ms"].count(None) == 1
    assert len(run_json(images)["windows"]) == 3
    assert " to infinite in 3 repeats" in capsys.readouterr().out
