"""The report's figures, against arithmetic by hand."""

import json
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.report.prices import read_prices
from loadtest.run import read
from tests.loadtest.report.pages import Page, Reports
from tests.support.fakes.load_target import LoadTarget, folder_of
from tests.support.inputs.runs import a_run, inf1
from tests.support.project import ROOT


def test_the_figures_of_the_post_from_its_own_numbers(reports: Reports) -> None:
    instances = ("--instance", "g4=g4dn.xlarge", "--instance", "inf1=inf1.2xlarge")
    page = reports.page([a_run("g4"), inf1()], *instances, "--post")
    rows = page.rows()
    post = ["AWS post, g4dn.xlarge, 2020", "AWS post, inf1.2xlarge, 2020"]
    assert rows[""] == ["g4", "inf1", *post]
    assert rows["throughput, images/s"] == ["67.5", "118.8", "67.5", "118.9"]
    # 118.8 / 67.5 = 1.76
    assert rows["throughput ratio"] == ["baseline", "1.76", "baseline", "1.76 (its title: 1.85)"]
    assert rows["P90 latency, ms"] == ["800.0", "320.0", "", ""]
    # 1 - 320 / 800
    assert rows["P90 reduction"] == ["baseline", "60.0 %", "baseline", "60 %"]
    assert rows["variation of throughput"] == ["12.0 %", "2.5 %", "up to 12 %", "below 3 %"]
    # 67.5 x 7200, 118.8 x 7200
    assert rows["images in two hours"] == ["486,000", "855,360", "486,000", "over 856,000"]
    # 0.526 x 2 / 0.486, 0.362 x 2 / 0.85536, 0.174 x 2 / 0.85536
    assert rows["cost per million images (on-demand)"] == [
        "$2.165 (g4dn.xlarge, us-east-1, $0.526/h as of 2026-07-20)",
        "$0.846 (inf1.2xlarge, us-east-1, $0.362/h as of 2026-07-20)",
        "$2.163; $2.165 at the price of 2026-07-20",
        "$1.362; $0.846 at the price of 2026-07-20",
    ]
    assert rows["cost per million images (reserved, effective)"] == [
        "—",
        "$0.407 (inf1.2xlarge, us-east-1, $0.174/h as of 2024-09)",
        "",
        "",
    ]
    # 1 - 0.8464 / 2.1646
    assert rows["cost reduction (on-demand)"][:2] == ["baseline", "60.9 %"]
    assert rows["errors"][:2] == ["none", "none"]
    measured = page.rows(1)
    assert measured["pictures"] == ["5000, sha256 00ff"] * 2
    assert measured["commit"] == ["abc1234"] * 2
    assert (measured["callers"], measured["batch"]) == (["8", "8"], ["4", "4"])


def test_a_worse_service_has_a_ratio_below_one_and_its_errors(reports: Reports) -> None:
    slow = a_run("slow", summary__images_per_s=27.0, summary__latency_ms__p90=1000.0)
    slow["summary"] |= {"errors": {"503": 1200, "504": 0}, "restarts_seen": 2, "seconds": 7100.0}
    rows = reports.page([a_run("g4"), slow]).rows()
    assert rows["throughput ratio"][1] == "0.40"
    assert rows["P90 reduction"][1] == "−25.0 %"  # noqa: RUF001 a minus
    assert rows["images in two hours"][1] == "—"
    assert rows["errors"][1] == "503 1,200"
    assert rows["restarts seen"][1] == "2"
    assert not any(name.startswith("cost") for name in rows), "no instance, no cost"


def test_another_baseline(reports: Reports) -> None:
    page = reports.page([a_run("g4"), inf1()], "--baseline", "inf1")
    assert page.rows()["throughput ratio"][:2] == ["0.57", "baseline"]
    assert "Compared with <b>inf1</b>" in reports.html


def test_the_slips_are_on_the_page(reports: Reports) -> None:
    page = reports.page([a_run("g4")], "--post")
    said = page.tables[-2]
    assert said[0] == ["statement", "arithmetic", "", "result"]
    assert [row[2] for row in said[1:]].count("slip") == 4
    assert page.tables[-1][0] == ["instance", "region", "kind", "$/h", "seen", "source"]
    assert len(page.tables[-1]) == 1 + len(read_prices())


def test_runs_written_by_the_commands_themselves(reports: Reports) -> None:
    """The files of the commands themselves, against a service on a real socket."""
    images = folder_of(reports.folder / "images", 4)
    runs = {
        "soak": ("--duration", "0.9s", "--window", "0.3"),
        "throughput": ("--pictures", "32", "--window", "0.3"),
        "server": ("--rate", "20", "--seconds", "0.5", "--requests", "5", "--bound-ms", "9000"),
    }
    with LoadTarget(takes_s=0.01) as service:
        for name, options in runs.items():
            where = ("--images", str(images), "--out", str(reports.folder / name))
            assert main([name, "--url", service.url, *where, "--label", "here", *options]) == 0
    files = {name: reports.folder / name / "run.json" for name in runs}
    instance = ("--instance", "here=g4dn.xlarge")
    assert main(["report", *map(str, files.values()), "--out", str(reports.out), *instance]) == 0
    page = Page(reports.html)
    for number, file in enumerate(files.values()):
        rate = json.loads(file.read_text())["summary"]["images_per_s"]
        rows = page.rows(2 * number)
        assert rows["throughput, images/s"][0] == f"{rate:.1f}"
        usd = 0.526 / 3600 / rate * 1e6
        assert rows["cost per million images (on-demand)"][0].startswith(f"${usd:.3f} (")
    assert page.rows(4)["highest rate that passed, requests/s"] == ["20.0"]


def test_the_post_is_shown_only_when_asked(reports: Reports) -> None:
    page = reports.page([a_run("mine")])
    assert page.rows()[""] == ["mine"]
    assert "post" not in "".join(cell for rows in page.tables for row in rows for cell in row)
    assert "Neuron 1.8.0" not in reports.html
    assert len(page.tables) == 3, "the runs, their conditions, the definitions"


@pytest.mark.parametrize(
    ("seconds", "cell"), [(30.0, None), (7199.0, "486,000"), (14400.0, "486,000")]
)
def test_a_short_run_is_not_extrapolated_to_two_hours(
    reports: Reports, seconds: float, cell: str | None
) -> None:
    rows = reports.page([a_run("mine", summary__seconds=seconds)]).rows()
    assert rows.get("images in two hours", [None])[0] == cell


@pytest.mark.parametrize(
    "path", sorted((ROOT / "loadtest" / "results").glob("*/*/run.json")), ids=str
)
def test_committed_results_are_read(path: Path) -> None:
    run = read(path)
    content = json.loads(path.read_text())
    assert run.results.images == content["summary"]["images"]
    assert [window.images_per_s for window in run.windows] == [
        window["images_per_s"] for window in content["windows"]
    ]
    assert [trial.rate for trial in run.search] == [step["rate"] for step in content["search"]]
