"""`python -m loadtest benchmark`: every experiment once, also after interruptions."""

import json
from pathlib import Path

import pytest

from loadtest import yardstick
from loadtest.__main__ import main
from tests.loadtest.report.pages import Page
from tests.support.fakes.load_target import LoadTarget

SMALL = (
    *("--pictures=40", "--duration=1.2s", "--window=0.5s"),
    *("--bound-ms=1", "--requests=1", "--seconds=0.01", "--repeats=3"),  # no rate passes: quick
)
KINDS = ("throughput", "soak", "server")


def arguments(images: Path, *services: LoadTarget) -> list[str]:
    urls = [f"--service=s{number}={each.url}" for number, each in enumerate(services)]
    return ["benchmark", *urls, f"--images={images}", f"--out={images.parent / 'out'}", *SMALL]


def runs(images: Path) -> dict[str, str]:
    """Start dates by directory."""
    out = images.parent / "out"
    return {
        str(path.parent.relative_to(out)): json.loads(path.read_text())["date"]
        for path in out.glob("*/*/run.json")
    }


@pytest.mark.slow
def test_two_services_and_their_report(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardstick, "INTERVAL_S", 0.05)
    with LoadTarget(takes_s=0.01) as first, LoadTarget(takes_s=0.01) as second:
        assert main(arguments(images, first, second)) == 0
    assert runs(images).keys() == {f"s{n}/{kind}" for n in range(2) for kind in KINDS}
    out = images.parent / "out"
    titles = [
        row[0] for table in Page((out / "report/report.html").read_text()).tables for row in table
    ]
    assert titles.count("throughput, images/s") == 3
    assert titles.count("variation of the machine itself") == 2  # soak, definition
    soak = json.loads((out / "s0/soak/run.json").read_text())
    assert soak["windows"][0]["yardstick_ms"] > 0
    assert soak["summary"]["yardstick_variation_percent"] >= 0
    server = json.loads((out / "s1/server/run.json").read_text())
    assert all(len(trial["p99_repeats_ms"]) == 3 for trial in server["search"])


def test_it_continues_where_a_service_was_lost(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoadTarget(takes_s=0.01) as first, LoadTarget(takes_s=0.01) as second:
        second.stop()
        again = [*arguments(images, first, second), "--experiments", "throughput"]
        assert main(again) == 1
        assert runs(images).keys() == {"s0/throughput"}
        assert "throughput of s1 is not complete" in capsys.readouterr().out
        before = runs(images)
        # As an interrupted soak leaves it.
        left = images.parent / "out/s1/throughput/run.json"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text('{"schema": 1, "kind": "throughput"}')
        second.start()
        assert main(again) == 0
    assert "throughput of s0: already in" in capsys.readouterr().out
    after = runs(images)
    assert after.keys() == {"s0/throughput", "s1/throughput"}
    assert after["s0/throughput"] == before["s0/throughput"]


@pytest.mark.parametrize("service", ["http://localhost:8000", "=http://x", "a/b=http://x", "a="])
def test_a_service_without_a_label_is_refused(
    service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "--service", service, "--images=.", "--out=out"])
    assert "expected LABEL=URL" in capsys.readouterr().err


def test_a_label_may_be_used_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--service=a=http://localhost:1", "--service=a=http://localhost:2"]
    assert main(["benchmark", *twice, "--images=.", f"--out={tmp_path / 'out'}"]) == 1
    assert "each needs a label of its own" in capsys.readouterr().err
