"""Errors of `report`: one line each."""

import sys
from typing import Any

import pytest

from loadtest.__main__ import main
from tests.loadtest.report.pages import Reports
from tests.support.inputs.runs import a_run


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
def test_invalid_runs_are_one_line(
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
def test_invalid_options_are_one_line(
    reports: Reports, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reports.run([a_run("g4")], *options) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_invalid_files_are_one_line(
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
