"""`python -m loadtest report` of runs with known numbers: each figure against hand arithmetic."""

import copy
import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from loadtest import CommandError
from loadtest.__main__ import main
from loadtest.report.post import checks, images_per_s, reference
from loadtest.report.prices import TABLE, Price, cost_per_million, latest, on_demand, read_prices
from loadtest.run import read
from tests.support.fakes.load_target import LoadTarget, folder_of
from tests.support.project import ROOT

VOID = {"meta", "br", "img", "link", "hr", "input"}


def a_run(label: str, **changes: Any) -> dict[str, Any]:
    """A soak of two hours as g4dn.xlarge had it in the post; `changes` by dotted name."""
    windows = [
        {
            "start_s": 1800.0 * n,
            "seconds": 1800.0,
            "images": 121500,
            "images_per_s": 67.5,
            "latency_ms": {"p50": 400.0, "p90": 800.0, "p99": 900.0, "max": 1000.0},
            "errors": {},
            "host_cpu_percent": 20.0,
            "host_memory_mb": 900.0,
            "temperature_c": None,
            "frequency_mhz": None,
        }
        for n in range(4)
    ]
    run: dict[str, Any] = {
        "schema": 1,
        "kind": "soak",
        "command": f"python -m loadtest soak --label {label}",
        "date": "2026-11-23T12:00:00Z",
        "commit": "abc1234",
        "ended": "complete",
        "label": label,
        "host": {
            "cpu": "Xeon",
            "cores": 8,
            "memory_mb": 16000,
            "kernel": "6.8",
            "gpu": None,
            "neuron": None,
        },
        "target": {"url": "http://t", "model": "yolov4", "version": 1, "precision": "bf16"},
        "settings": {
            "url": "http://t",
            "images": "val2017",
            "label": label,
            "out": None,
            "seed": 0,
            "callers": 8,
            "batch": 4,
            "duration": 7200.0,
            "window": 1800.0,
        },
        "seed": 0,
        "pictures": {"count": 5000, "sha256": "00ff"},
        "windows": windows,
        "histogram": {"unit": "us", "buckets": [[400000.0, 50], [800000.0, 40], [900000.0, 10]]},
        "search": [],
        "summary": {
            "images": 486000,
            "seconds": 7200.0,
            "images_per_s": 67.5,
            "latency_ms": {
                "mean": 474.0,
                "p50": 400.0,
                "p90": 800.0,
                "p99": 900.0,
                "p999": 900.0,
                "max": 1000.0,
            },
            "variation_percent": 12.0,
            "errors": {},
            "restarts_seen": 0,
        },
        "accuracy": None,
    }
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        inner = run
        for name in path:
            inner = inner[name]
        inner[last] = value
    return run


def inf1(label: str = "inf1", **changes: Any) -> dict[str, Any]:
    faster = {"summary__images_per_s": 118.8, "summary__latency_ms__p90": 320.0}
    return a_run(label, **faster, summary__variation_percent=2.5, **changes)


class Page(HTMLParser):
    """Tables as texts; and that what is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def rows(self, number: int = 0) -> dict[str, list[str]]:
        return {row[0]: row[1:] for row in self.tables[number]}


class Reports:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def run(self, runs: Sequence[dict[str, Any]], *options: str) -> int:
        paths = []
        for number, run in enumerate(runs):
            paths.append(self.folder / f"run{number}.json")
            paths[-1].write_text(json.dumps(run))
        return main(["report", *map(str, paths), "--out", str(self.out), *options])

    def page(self, runs: Sequence[dict[str, Any]], *options: str) -> Page:
        assert self.run(runs, *options) == 0
        return Page(self.html)

    @property
    def html(self) -> str:
        return (self.out / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path)


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


def test_what_a_service_that_is_worse_looks_like(reports: Reports) -> None:
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ended": "interrupted"}, "it was interrupted after 7200 s"),
        ({"pictures__sha256": "11"}, "different pictures, also 5000"),
        ({"pictures": {"count": 9, "sha256": "1"}}, "different pictures: 9, the baseline 5000"),
        ({"settings__callers": 16}, "different settings: callers 16, the baseline 8"),
        ({"settings__rate": 3}, "different settings: rate 3, the baseline unset"),
        ({"settings__annotations": "a.json"}, "annotations true, the baseline unset"),
        ({"summary__images_per_s": 0.0}, "one of them has no answers"),
    ],
)
def test_what_is_not_comparable_is_never_compared(
    reports: Reports, changes: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = a_run("other", **changes)
    instances = ("--instance", "g4=g4dn.xlarge", "--instance", "other=g4dn.xlarge")
    page = reports.page([a_run("g4"), other], *instances)
    said = capsys.readouterr().err
    assert said.startswith("warning: other is not comparable with g4: ")
    assert reason in said
    assert reason in reports.html
    rows = page.rows()
    mark = "interrupted" if "ended" in changes else "not comparable"
    assert rows[""][1] == f"other ({mark})"
    names = ["throughput ratio", "P90 reduction"]
    if other["summary"]["images_per_s"]:
        names.append("cost reduction (on-demand)")
    assert [rows[name][1] for name in names] == ["not comparable"] * len(names)
    assert mark in reports.html[reports.html.index("<svg") : reports.html.index("</svg>")]


def test_an_interrupted_baseline_is_compared_with_nothing(reports: Reports) -> None:
    rows = reports.page([a_run("g4", ended="interrupted"), inf1()]).rows()
    assert rows["throughput ratio"][:2] == ["baseline", "not comparable"]
    assert "the baseline was interrupted after 7200 s" in reports.html
    assert "<b>g4</b> was interrupted after 7,200 s" in reports.html


def test_what_may_be_compared_and_should_be_known(reports: Reports) -> None:
    """Another precision or model is what one compares, another place is how one does it."""
    other = inf1(target__precision="f32", target__url="http://u", seed=3)
    other["settings"] |= {"url": "http://u", "images": "/elsewhere", "out": "x", "seed": 3}
    assert reports.page([a_run("g4"), other]).rows()["throughput ratio"][1] == "1.76"
    assert (
        "different model: yolov4 version 1, f32, the baseline yolov4 version 1, bf16"
        in reports.html
    )
    assert "different seed: 3, the baseline 0" in reports.html


def server(label: str, rates: dict[float, float], bound: float = 100) -> dict[str, Any]:
    """`rates`: tried -> P99 in milliseconds."""
    run = a_run(label, kind="server", summary__images_per_s=40.0, summary__seconds=30.0)
    run["settings"] = {"bound_ms": bound, "seconds": 30.0}
    run["search"] = [
        {
            "rate": rate,
            "p99_ms": p99,
            "answered_share": 1.0,
            "passed": p99 <= bound,
            "requests": 1000,
        }
        for rate, p99 in rates.items()
    ]
    return run


def test_kinds_are_compared_within_themselves_only(reports: Reports) -> None:
    throughput = a_run("g4", kind="throughput", accuracy={"stats": {"AP": 0.4871}})
    servers = [server("g4", {10: 50, 40: 90, 80: 300}), server("slow", {10: 200, 5: 150})]
    page = reports.page([throughput, *servers, a_run("g4"), inf1()], "--baseline", "inf1", "--post")
    ids = [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")]
    assert ids == ["soak", "throughput", "server"]
    assert page.rows(0)["throughput ratio"][:2] == ["0.57", "baseline"]
    rows = page.rows(2)
    assert rows["throughput, images/s"] == ["67.5", "39", "106"]
    assert rows["AP (COCO)"] == ["0.487", "", "0.487"]
    assert rows["throughput ratio"] == ["baseline", "baseline", "2.72"]
    rows = page.rows(4)
    assert rows[""] == ["g4", "slow (not comparable)"], "nothing of the post"
    assert rows["highest rate that passed, requests/s"] == ["40.0", "—"]
    assert "no rate passed for it" in reports.html
    assert sorted(path.name for path in reports.out.glob("server-*.png")) == [
        "server-latency.png",
        "server-search.png",
    ]


def test_the_posts_slips_from_the_price_table() -> None:
    prices = read_prices()
    # 856,000 / 486,000 is not 1.85.
    assert pytest.approx(1.76, abs=0.005) == 856_000 / 486_000
    assert images_per_s("inf1.2xlarge") / images_per_s("g4dn.xlarge") == pytest.approx(1.7613, 1e-4)
    # $1.362 is inf1.2xlarge at its price of 2020, to 0.2 %; inf1.xlarge would have been $0.860.
    then = {name: on_demand(prices, name, "2020-09-23") for name in ("inf1.xlarge", "inf1.2xlarge")}
    assert [price.usd_per_hour for price in then.values()] == [0.368, 0.584]
    rate = 856_000 / 7200
    assert cost_per_million(0.584, rate) == pytest.approx(1.362, rel=0.002)
    assert cost_per_million(0.368, rate) == pytest.approx(0.860, abs=0.0005)
    # At today's prices.
    today = {name: latest(prices, name)[0].usd_per_hour for name in ("inf1.2xlarge", "g4dn.xlarge")}
    assert today == {"inf1.2xlarge": 0.362, "g4dn.xlarge": 0.526}
    assert round(cost_per_million(0.362, rate), 3) == 0.846
    assert round(cost_per_million(0.526, 486_000 / 7200), 3) == 2.165
    found = {check.says: check for check in checks(prices)}
    assert [check.outcome for check in found.values()] == [
        *("slip", "slip", "holds", "holds", "today", "slip", "slip"),
        *("not comparable", "cannot be checked"),
    ]
    title, inf1_price, g4_price, share, now, latency, fps, *_ = found.values()
    assert "= 1.76" in title.arithmetic
    assert "= $1.364; inf1.xlarge" in inf1_price.arithmetic
    assert inf1_price.arithmetic.endswith("= $0.860")
    assert "857,562 images" in inf1_price.verdict  # 1.168 / 1.362 million
    assert g4_price.arithmetic.endswith("= $2.165")
    assert share.arithmetic.endswith("= 37.0%")
    assert "= $0.846; $0.526" in now.arithmetic
    assert now.verdict.startswith("61% lower. The price of inf1.2xlarge fell by 38% between")
    assert "172.8 images/s" in now.verdict
    assert latency.arithmetic.endswith("= 43%")
    assert "= 105.3; 5,000 / 47 s = 106.4" in fps.arithmetic


def test_the_slips_are_on_the_page(reports: Reports) -> None:
    page = reports.page([a_run("g4")], "--post")
    said = page.tables[-2]
    assert said[0] == ["statement", "arithmetic", "", "result"]
    assert [row[2] for row in said[1:]].count("slip") == 4
    assert page.tables[-1][0] == ["instance", "region", "kind", "$/h", "seen", "source"]
    assert len(page.tables[-1]) == 1 + len(read_prices())


def test_prices_of_ones_own(reports: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    """Two regions and a spot price; the post keeps the prices of its time."""
    mine = reports.folder / "mine.json"
    entry = {"instance": "box", "kind": "on-demand", "usd_per_hour": 0.9, "region": "here"}
    entry |= {"seen": ["2026-01", "2026-02"], "source": "a bill"}
    older = {**entry, "usd_per_hour": 5, "seen": ["2025-01", "2025-02"]}
    spot = {**entry, "kind": "spot", "usd_per_hour": 0.243}
    mine.write_text(json.dumps({"prices": [spot, entry, older]}))
    options = ("--prices", str(mine), "--instance")
    rows = reports.page([a_run("a=b")], *options, "a=b=box", "--post").rows()
    # 0.9 x 2 / 0.486 and 0.243 x 2 / 0.486
    assert rows["cost per million images (on-demand)"][0].startswith("$3.704 (box, here, $0.9/h")
    assert rows["cost per million images (spot)"][0].startswith("$1.000 (box, here, $0.243/h")
    assert "$0.846" in reports.html
    assert reports.run([a_run("g4")], *options, "g4=g4dn.xlarge") == 1
    assert "no price of g4dn.xlarge; the table has box" in capsys.readouterr().err


def test_runs_as_they_are_measured(reports: Reports) -> None:
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


HOSTILE = 'a <script>alert("1")</script> & $x^2$ of a name that is longer than a chart is wide'


def test_the_page_stands_alone_and_labels_are_text(reports: Reports) -> None:
    page = reports.page([a_run(HOSTILE), inf1("_b' onload='alert(1)")])
    html = reports.html
    assert "<script" not in html
    assert page.rows()[""][:2] == [HOSTILE, "_b' onload='alert(1)"]
    assert "script" not in {tag for tag, _, _ in page.attributes}
    loads = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}
    for tag, name, value in page.attributes:
        assert name not in loads or value.startswith("#"), (tag, name, value)
        assert not name.startswith("on"), (tag, name)
        assert "url(" not in value or "url(#" in value
    assert not re.search(r"@import|https?://(?!t\b)", html)
    assert "default-src 'none'" in html
    # Every reference within a chart is to a part of the same chart, and no two parts share a name.
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    assert {v[1:] for _, name, v in page.attributes if name == "xlink:href"} <= set(ids)
    charts = re.findall(r"(?s)<svg.*?</svg>", html)
    assert len(charts) == 3
    for svg in charts:
        root = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))
        texts = [element.text or "" for element in root.iter("text")]
        assert 'a <script>alert("1")</s…' in texts
        assert " _b' onload='alert(1)" in texts


def test_the_charts_are_slides(reports: Reports) -> None:
    hot = inf1(windows=[{**w, "temperature_c": 70.0} for w in a_run("x")["windows"]])
    reports.page([a_run("g4"), hot])
    names = sorted(path.name for path in reports.out.glob("*.png"))
    charts = ("latency", "p90", "temperature", "throughput")
    assert names == [f"soak-{name}.png" for name in charts]
    for name in names:
        with Image.open(reports.out / name) as image:
            assert image.size == (1920, 1080)
            colours = image.convert("RGB").getcolors(1 << 20)
            assert colours is not None
            assert max(colours)[1] == (255, 255, 255), "dark on light"
            assert any(colour == (0, 0x72, 0xB2) for _, colour in colours) or "temp" in name
    assert not list(reports.out.glob("*.part"))
    svgs = re.findall(r"(?s)<svg.*?</svg>", reports.html)
    assert "time since the start, min" in svgs[0]
    assert "118.8/s, varies 2.5 %" in svgs[0]
    assert "P90 320 ms" in svgs[1]
    assert "latency of a request, ms" in svgs[3]


def test_many_runs_of_little(reports: Reports) -> None:
    """One window, no answer at all, letters that no font here has, more runs than colours."""
    little = [a_run(f"run {n}") for n in range(9)]
    for run in little:
        run["windows"] = run["windows"][:1]
    nothing = {"p50": None, "p90": None, "p99": None}
    none = a_run("型 none", summary__images_per_s=0.0, summary__variation_percent=None)
    none["summary"]["latency_ms"] |= nothing
    none["histogram"]["buckets"] = []
    none["windows"] = [{**w, "images_per_s": 0.0, "latency_ms": nothing} for w in none["windows"]]
    rows = reports.page([*little, none], "--instance", "型 none=g4dn.xlarge").rows()
    assert rows["P90 latency, ms"][9] == "—"
    assert rows["variation of throughput"][9] == "—"
    assert rows["cost per million images (on-demand)"][9] == "—"
    with Image.open(reports.out / "soak-latency.png") as image:
        assert image.size[0] == 1920
        assert image.size[1] > 1080


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 2}, "run0.json has schema 2; this report reads 1"),
        (
            {"kind": "accuracy"},
            "kind: Input should be 'soak', 'throughput' or 'server', not 'accuracy'",
        ),
        ({"summary": None}, "has no results: the run was stopped before its first window ended"),
        (
            {"summary__images_per_s": "fast"},
            "summary.images_per_s: Input should be a valid number, not 'fast'",
        ),
        (
            {"summary__images_per_s": True},
            "summary.images_per_s: Input should be a valid number, not True",
        ),
        (
            {"summary__images_per_s": float("nan")},
            "summary.images_per_s: Input should be a finite number, not nan",
        ),
        ({"windows": [{}]}, "windows.0.start_s: Field required, not {}"),
        (
            {"histogram": {"unit": "s", "buckets": []}},
            "histogram.unit: Input should be 'us', not 's'",
        ),
        ({"host": None}, "host: Input should be an object, not None"),
    ],
)
def test_what_is_no_run_is_one_sentence(
    reports: Reports, changes: dict[str, Any], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reports.run([a_run("g4", **changes)]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not reports.out.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--baseline", "x"], "--baseline x: no run has this label; there are g4"),
        (["--instance", "x=g4dn.xlarge"], "no run has this label; there are g4"),
        (["--instance", "g4dn.xlarge"], "expected LABEL=NAME, such as g4=g4dn.xlarge"),
        (["--instance", "g4=p3.2xlarge"], "no price of p3.2xlarge; the table has g4dn.2xlarge, "),
        (["--prices", "none.json"], "cannot read none.json: "),
    ],
)
def test_wrong_options_are_one_sentence(
    reports: Reports, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reports.run([a_run("g4")], *options) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_wrong_files_are_one_sentence(
    reports: Reports, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> str:
        assert main(["report", *arguments]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "no run.json given" in said()
    assert "cannot read " in said(str(reports.folder / "none.json"))
    text = reports.folder / "text.json"
    text.write_text("{")
    assert "text.json is not JSON" in said(str(text))
    text.write_text("[]")
    assert "text.json is not a run of" in said(str(text))
    assert reports.run([a_run("g4"), a_run("g4")]) == 1
    assert "another soak run has the label 'g4'" in capsys.readouterr().err
    reports.out.write_text("in the way")
    assert reports.run([a_run("g4")]) == 1
    assert "error: cannot write " in capsys.readouterr().err
    for module in ("loadtest.report.charts", "loadtest.report.page"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert reports.run([a_run("g4")]) == 1
    assert "matplotlib is not installed: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"usd_per_hour": 0}, "prices.1.usd_per_hour: Input should be greater than 0, not 0"),
        ({"usd_per_hour": "1"}, "usd_per_hour: Input should be a valid number, not '1'"),
        ({"seen": "2026"}, "seen: Input should be a valid array, not '2026'"),
        ({"region": ""}, "region: String should have at least 1 character, not ''"),
        ({"currency": "EUR"}, "currency: Extra inputs are not permitted, not 'EUR'"),
    ],
)
def test_wrong_prices_are_one_sentence(
    reports: Reports,
    change: dict[str, Any],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = json.loads(TABLE.read_text())
    wrong = copy.deepcopy(content)
    wrong["prices"][1] |= change
    path = reports.folder / "prices.json"
    path.write_text(json.dumps(wrong))
    assert reports.run([a_run("g4")], "--prices", str(path)) == 1
    assert sentence in capsys.readouterr().err


def test_every_price_says_when_and_where_from() -> None:
    prices = read_prices()
    for price in prices:
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", price.seen[0]), price
        assert price.seen[0] <= price.seen[1]
        assert price.source.count("/") >= 2, price
    kinds = [price.kind for price in latest(prices, "inf1.2xlarge")]
    assert kinds == ["on-demand", "reserved, effective"]
    assert set(reference(prices)) == {"soak", "throughput"}


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


def test_a_chart_says_machine_model_and_date(reports: Reports) -> None:
    reports.page([a_run("g4"), inf1(host__gpu="Tesla T4", date="2026-11-24T08:00:00Z")])
    for svg in re.findall(r"(?s)<svg.*?</svg>", reports.html):
        assert "yolov4 version 1, bf16; load from 8 x Xeon; 2026-11-23" in svg
        assert "yolov4 version 1, bf16; load from Tesla T4; 2026-11-24" in svg


def test_a_price_is_of_its_region() -> None:
    """The first region in the table was taken for every region."""
    seen = ("2026-01", "2026-02")
    box = partial(Price, instance="box", kind="on-demand", source="a bill", seen=seen)
    prices = [
        box(usd_per_hour=usd, region=region)
        for usd, region in ((2.0, "eu-west-1"), (1.0, "us-east-1"))
    ]
    assert on_demand(prices, "box", "2026-01-15").usd_per_hour == 1.0
    assert on_demand(prices, "box", "2026-01-15", "eu-west-1").usd_per_hour == 2.0
    with pytest.raises(CommandError, match="in ap-south-1 on 2026-01-15"):
        on_demand(prices, "box", "2026-01-15", "ap-south-1")


@pytest.mark.parametrize(
    ("date", "known"),
    [("2025-12-31", False), ("2026-01-01", True), ("2026-02-28", True), ("2026-03-01", False)],
)
def test_a_month_includes_its_days(date: str, known: bool) -> None:
    """2026-02-28 was after 2026-02, and so had no price."""
    seen = ("2026-01", "2026-02")
    price = Price(
        instance="box",
        kind="on-demand",
        usd_per_hour=1.0,
        region="us-east-1",
        seen=seen,
        source="s",
    )
    if known:
        assert on_demand([price], "box", date) == price
    else:
        with pytest.raises(CommandError):
            on_demand([price], "box", date)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "loadtest" / "results").glob("*/run.json")), ids=str
)
def test_committed_results_are_read(path: Path) -> None:
    run = read(path)
    content = json.loads(path.read_text())
    assert run.results.images == content["summary"]["images"]
    assert [window.images_per_s for window in run.windows] == [
        window["images_per_s"] for window in content["windows"]
    ]
    assert [trial.rate for trial in run.search] == [step["rate"] for step in content["search"]]
