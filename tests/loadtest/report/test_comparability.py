"""Runs that differ in more than what is compared are never compared."""

from typing import Any

import pytest

from tests.loadtest.report.pages import Reports
from tests.support.inputs.runs import a_run, inf1, server


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


def test_allowed_differences_are_listed(reports: Reports) -> None:
    """Another precision or model is what one compares, another place is how one does it."""
    other = inf1(target__precision="f32", target__url="http://u", seed=3)
    other["settings"] |= {"url": "http://u", "images": "/elsewhere", "out": "x", "seed": 3}
    assert reports.page([a_run("g4"), other]).rows()["throughput ratio"][1] == "1.76"
    assert (
        "different model: yolov4 version 1, f32, the baseline yolov4 version 1, bf16"
        in reports.html
    )
    assert "different seed: 3, the baseline 0" in reports.html


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
