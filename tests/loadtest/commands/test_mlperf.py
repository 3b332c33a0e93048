"""`python -m loadtest mlperf`: LoadGen's queries as requests. LoadGen is no part of the project."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.__main__ import main
from tests.support.fakes.fake_service import Reply, found, problem
from tests.support.fakes.load_target import LoadTarget, folder_of
from tests.support.project import ROOT

INSTALLED = importlib.util.find_spec("mlperf_loadgen") is not None


def arguments(service: LoadTarget, folder: Path, scenario: str, *more: str) -> list[str]:
    images = folder_of(folder / "images", 12)
    places = ("--images", str(images), "--out", str(folder / "logs"))
    times = ("--seconds", "1s", "--rate", "40", "--requests", "20", "--bound-ms", "5000")
    return ["mlperf", "--url", service.url, "--scenario", scenario, *places, *times, *more]


@pytest.mark.skipif(INSTALLED, reason="mlcommons-loadgen is installed")
def test_without_loadgen_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoadTarget() as service:
        assert main(arguments(service, tmp_path, "Server")) == 1
    assert "mlperf_loadgen is not installed: " in capsys.readouterr().err


@pytest.mark.skipif(not INSTALLED, reason="needs mlcommons-loadgen")
@pytest.mark.parametrize("scenario", ["SingleStream", "Server", "Offline"])
def test_every_query_is_a_request(tmp_path: Path, scenario: str) -> None:
    with LoadTarget(takes_s=0.005) as service:
        command = [sys.executable, "-m", "loadtest", *arguments(service, tmp_path, scenario)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert f"Scenario : {scenario}" in done.stdout
    assert "fake version 1; written: " in done.stdout
    valid = "Result is : VALID" in done.stdout
    assert done.returncode == (0 if valid else 1)
    assert len(service.received) > 20
    assert (tmp_path / "logs" / "mlperf_log_summary.txt").stat().st_size > 500


@pytest.mark.skipif(not INSTALLED, reason="needs mlcommons-loadgen")
def test_a_failed_picture_makes_the_result_invalid(tmp_path: Path) -> None:
    def reply(picture: bytes) -> Reply:
        return problem(503, "full") if len(service.received) == 9 else found([])

    with LoadTarget(reply) as service:
        command = [sys.executable, "-m", "loadtest", *arguments(service, tmp_path, "Server")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "error: 1 pictures failed (503: 1); LoadGen counts them as answered" in done.stderr
