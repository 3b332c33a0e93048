"""`python -m loadtest report`: runs side by side, on one page that opens without a network.

Runs are compared with others of their kind only, and only where load and pictures are the same.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .chart_figure import check_matplotlib
from .charts import draw
from .post import checks, reference
from .prices import TABLE, Price, latest, read_prices
from .report_page import Group, page
from .report_runs import Run, read_runs
from .report_table import objections, remarks, table
from .stopped import Stopped


def add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("report", help="runs side by side, as a page and as charts")
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="run.json", help="of throughput, soak or server")
    add("--out", type=Path, default=Path("report"), metavar="DIR", help="(default: %(default)s)")
    instance = "what the run of this label ran on, such as g4=g4dn.xlarge; without it, no cost"
    add("--instance", action="append", default=[], metavar="LABEL=NAME", help=instance)
    prices = f"instead of {TABLE.name}, in its form"
    add("--prices", type=Path, default=TABLE, metavar="FILE", help=prices)
    baseline = "what the others are compared with (default: the first run of each kind)"
    add("--baseline", metavar="LABEL", help=baseline)


def _run(options: argparse.Namespace) -> int:
    if not options.runs:
        raise Stopped("no run.json is given: throughput, soak and server write one each")
    check_matplotlib()
    kinds = read_runs(options.runs)
    every = [run for runs in kinds.values() for run in runs]
    labels = {run.label for run in every}
    if options.baseline is not None and options.baseline not in labels:
        raise Stopped(f"--baseline {options.baseline}: {_labels(every)}")
    table_of_prices = read_prices(options.prices)
    prices = _prices(options.instance, table_of_prices, every)
    groups = [_group(runs, options.baseline, prices, options.out) for runs in kinds.values()]
    # Of its own time, whatever prices the runs are reckoned with.
    bundled = read_prices()
    html = page(
        groups,
        table_of_prices,
        reference(bundled),
        checks(bundled),
        command=options.command,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    path = options.out / "report.html"
    _write(path, html)
    charts = [chart.png.name for group in groups for chart in group.charts]
    print(f"written: {path}" + (f", and beside it {', '.join(charts)}" if charts else ""))
    return 0


def _group(
    runs: Sequence[Run],
    wanted: str | None,
    prices: Mapping[str, Sequence[Price]],
    out: Path,
) -> Group:
    baseline = next((run for run in runs if run.label == wanted), runs[0])
    against = {run.label: objections(run, baseline) for run in runs}
    marks = {label: "not comparable" for label, reasons in against.items() if reasons}
    marks |= {run.label: "interrupted" for run in runs if not run.complete}
    for label, reasons in against.items():
        if reasons:
            sentence = f"{label} is not compared with {baseline.label}: {'; '.join(reasons)}"
            print(f"warning: {sentence}", file=sys.stderr)
    return Group(
        runs,
        baseline,
        table(runs, baseline, prices),
        marks,
        against,
        {run.label: remarks(run, baseline) for run in runs},
        draw(runs, marks, out),
    )


def _prices(
    given: Sequence[str], prices: Sequence[Price], runs: Sequence[Run]
) -> dict[str, list[Price]]:
    """Label -> what its instance costs."""
    found: dict[str, list[Price]] = {}
    for text in given:
        label, equals, instance = text.rpartition("=")
        if not equals or not instance:
            raise Stopped(f"--instance {text}: LABEL=NAME is expected, such as g4=g4dn.xlarge")
        if all(run.label != label for run in runs):
            raise Stopped(f"--instance {text}: {_labels(runs)}")
        found[label] = latest(prices, instance)
    return found


def _labels(runs: Sequence[Run]) -> str:
    return f"no run has this label, they have {', '.join(dict.fromkeys(r.label for r in runs))}"


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise Stopped(f"cannot write {path}: {error.strerror}") from error
