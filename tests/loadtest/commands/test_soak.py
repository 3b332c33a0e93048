"""`python -m loadtest soak`: windows, restarts, interrupts and full disks, over real sockets."""

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from loadtest.__main__ import main
from tests.support.fakes.fake_service import problem
from tests.support.fakes.load_target import LoadTarget, folder_of, run_json, running
from tests.support.processes.gateway_process import wait_for


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "images", 12)


def arguments(service: LoadTarget, images: Path, duration: str, *more: str) -> list[str]:
    places = ("--images", str(images), "--out", str(images.parent / "out"))
    return ["soak", "--url", service.url, *places, "--duration", duration, *more]


def sums_agree(run: dict[str, Any]) -> None:
    """Windows, summary and histogram are of the same pictures."""
    summary = run["summary"]
    assert sum(window["images"] for window in run["windows"]) == summary["images"]
    counted = sum(sum(window["errors"].values()) for window in run["windows"])
    assert counted == sum(summary["errors"].values())
    assert summary["images_per_s"] == pytest.approx(summary["images"] / summary["seconds"], 0.01)


def test_windows_of_equal_length(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LoadTarget(takes_s=0.02) as service:
        assert main(arguments(service, images, "1.6s", "--window", "0.5")) == 0
        assert len(service.received) - 4 == run_json(images)["summary"]["images"]
    run = run_json(images)
    assert (run["kind"], run["ended"]) == ("soak", "complete")
    sums_agree(run)
    assert len(run["windows"]) >= 2
    ended = 0.0
    for window in run["windows"]:
        assert window["start_s"] == pytest.approx(ended, abs=0.01)  # nothing between them
        ended = window["start_s"] + window["seconds"]
        assert window["images_per_s"] == pytest.approx(
            window["images"] / window["seconds"], rel=0.02, abs=1
        )
        latency = window["latency_ms"]
        if window["images"]:
            assert 19 <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
        assert window["errors"] == {}
        assert set(window) >= {"host_cpu_percent", "host_memory_mb", "temperature_c"}
    assert run["settings"]["duration"] == 1.6
    said = capsys.readouterr().out
    assert said.count(" images/s, p50 ") == len(run["windows"]) - 1  # a line a whole window


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_usable_result(images: Path, number: signal.Signals) -> None:
    with LoadTarget(takes_s=0.01) as service, running(arguments(service, images, "1h")) as process:
        wait_for(lambda: service.requests > 40, 60)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    run = run_json(images)
    assert run["ended"] == "interrupted"
    sums_agree(run)
    assert run["summary"]["images"] == len(service.received) - 4  # none is lost
    assert run["summary"]["errors"] == {}
    assert run["summary"]["latency_ms"]["p99"] >= 9


def test_a_second_interrupt_does_not_wait_for_a_service_that_hangs(images: Path) -> None:
    with LoadTarget() as service, running(arguments(service, images, "1h")) as process:
        wait_for(lambda: service.requests > 40, 60)
        service.stall_until = time.monotonic() + 600
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None  # it waits for requests in progress
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    run = run_json(images)
    assert run["ended"] == "interrupted"
    assert run["summary"]["errors"] == {"interrupted": 8 * 4}
    sums_agree(run)
    assert run["summary"]["images"] + 32 == len(service.received) - 4


def test_a_kill_loses_at_most_a_window(images: Path) -> None:
    with (
        LoadTarget(takes_s=0.01) as service,
        running(arguments(service, images, "1h", "--window", "0.3")) as process,
    ):
        file = images.parent / "out" / "run.json"
        wait_for(lambda: file.exists() and len(run_json(images)["windows"]) >= 3, 60)
        process.kill()
        process.communicate(timeout=30)
    run = run_json(images)
    assert run["ended"] == "interrupted"
    assert len(run["windows"]) >= 3
    sums_agree(run)


def test_a_restart_is_survived_and_counted(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def restart() -> None:
        wait_for(lambda: service.requests > 40, 20)
        service.stop()
        time.sleep(0.6)
        before.append(len(service.received))
        service.start()

    before: list[int] = []
    with LoadTarget(takes_s=0.01) as service:
        thread = threading.Thread(target=restart)
        thread.start()
        assert main(arguments(service, images, "4s", "--window", "0.2")) == 0
        thread.join()
        assert len(service.received) > before[0] + 32  # it went on
    run = run_json(images)
    assert run["ended"] == "complete"
    assert run["summary"]["restarts_seen"] == 1
    sums_agree(run)
    errors = run["summary"]["errors"]
    assert set(errors) <= {"connection", "unreachable"}
    # Each caller lost the request under way and, at most, the one it tried next.
    assert 4 <= sum(errors.values()) <= 2 * 8 * 4
    lost = len(service.received) - 4 - run["summary"]["images"]  # came, and were not answered
    assert 0 <= lost <= sum(errors.values())
    assert min(window["images"] for window in run["windows"][:-1]) == 0  # the outage is seen
    said = capsys.readouterr()
    assert "the service is unavailable; waiting for it" in said.err
    assert "service restarts seen: 1" in said.out


def test_a_model_server_that_restarts_behind_its_gateway(images: Path) -> None:
    def outage() -> None:
        wait_for(lambda: service.requests > 40, 20)
        service.ready, reply = 503, service.reply
        service.reply = lambda data: problem(503, "no backend")
        time.sleep(0.6)
        service.reply, service.ready = reply, 200

    with LoadTarget(takes_s=0.01) as service:
        thread = threading.Thread(target=outage)
        thread.start()
        assert main(arguments(service, images, "3s")) == 0
        thread.join()
        summary = run_json(images)["summary"]
        assert summary["restarts_seen"] == 1
        assert set(summary["errors"]) == {"503"}
        assert summary["images"] + summary["errors"]["503"] == len(service.received) - 4
        assert summary["errors"]["503"] <= 8 * 4


def test_a_disk_that_is_full_for_a_while(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = 0

    def replace(source: Path, to: Path) -> None:
        nonlocal replaced
        replaced += 1
        if 2 <= replaced <= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.rename(source, to)

    monkeypatch.setattr("loadtest.run.os.replace", replace)
    with LoadTarget(takes_s=0.01) as service:
        assert main(arguments(service, images, "1.5s", "--window", "0.2")) == 0
    assert capsys.readouterr().err.count("run.json: No space left on device; retrying") == 2
    sums_agree(run_json(images))


def test_a_full_disk_is_reported_in_one_line(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was measured is on the screen, as the file cannot have it."""
    written = 0

    def replace(source: Path, to: Path) -> None:
        nonlocal written
        written += 1
        if written > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.rename(source, to)

    monkeypatch.setattr("loadtest.run.os.replace", replace)
    with LoadTarget(takes_s=0.01) as service:
        assert main(arguments(service, images, "0.5s")) == 1
    said = capsys.readouterr()
    assert "No space left on device" in said.err
    assert "Traceback" not in said.err
    assert '"images_per_s":' in said.out
    assert run_json(images)["ended"] == "interrupted"  # as it was written at first
