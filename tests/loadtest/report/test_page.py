"""The page stands alone, its charts too, and labels are text."""

import re
from xml.etree import ElementTree

from PIL import Image

from tests.loadtest.report.pages import Reports
from tests.support.inputs.runs import a_run, inf1

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


def test_runs_with_little_data(reports: Reports) -> None:
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


def test_a_chart_says_machine_model_and_date(reports: Reports) -> None:
    reports.page([a_run("g4"), inf1(host__gpu="Tesla T4", date="2026-11-24T08:00:00Z")])
    for svg in re.findall(r"(?s)<svg.*?</svg>", reports.html):
        assert "yolov4 version 1, bf16; load from 8 x Xeon; 2026-11-23" in svg
        assert "yolov4 version 1, bf16; load from Tesla T4; 2026-11-24" in svg
