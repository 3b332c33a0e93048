"""`python -m loadtest report`: runs side by side on one page that opens without a network.

Runs are compared only with others of their kind, and only for the same load and pictures.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import CommandError
from ..commands.options import Defaults
from ..commands.terminal import warn
from ..run import KINDS, Run, read, write_whole
from .compare import objections, remarks
from .post import checks, reference
from .prices import TABLE, Price, latest, read_prices
from .table import table

if TYPE_CHECKING:
    from .page import Group


def add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "report",
        help="runs side by side, as a page and as charts",
        allow_abbrev=False,
        formatter_class=Defaults,
    )
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="run.json", help="of throughput, soak or server")
    add("--out", type=Path, default=Path("report"), metavar="DIR", help="directory of the report")
    instance = "the instance of the run with this label, for its cost, such as g4=g4dn.xlarge"
    add("--instance", action="append", metavar="LABEL=NAME", help=instance)
    prices = "table of prices in the same format"
    add("--prices", type=Path, default=TABLE, metavar="FILE", help=prices)
    baseline = "the run to compare with (default: the first of each kind)"
    add("--baseline", metavar="LABEL", help=baseline)
    post = "also show the AWS post's figures of 2020, and a check of its arithmetic"
    add("--post", action="store_true", help=post)


def _run(options: argparse.Namespace) -> int:
    from .page import page  # matplotlib and jinja2

    if not options.runs:
        raise CommandError("no run.json given: throughput, soak and server write one each")
    kinds = _read_runs(options.runs)
    runs = [run for of_kind in kinds.values() for run in of_kind]
    if options.baseline is not None and all(run.label != options.baseline for run in runs):
        raise CommandError(f"--baseline {options.baseline}: {_labels(runs)}")
    price_table = read_prices(options.prices)
    prices = _prices(options.instance or [], price_table, runs)
    # The post's figures use the prices of its time, whatever --prices says.
    bundled = read_prices() if options.post else []
    post = reference(bundled) if options.post else {}
    groups = [
        _group(of_kind, options.baseline, prices, options.out, post.get(kind, {}))
        for kind, of_kind in kinds.items()
    ]
    html = page(
        groups,
        price_table if prices or options.post else [],
        checks(bundled) if options.post else [],
        command=options.command,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    path = options.out / "report.html"
    write_whole(path, html)
    charts = [chart.png.name for group in groups for chart in group.charts]
    print(f"written: {path}" + (f", {', '.join(charts)}" if charts else ""))
    return 0


def _read_runs(paths: Sequence[Path]) -> dict[str, list[Run]]:
    """By kind, in the given order; a label identifies a run of its kind."""
    kinds: dict[str, list[Run]] = {}
    for path in paths:
        run = read(path)
        if any(run.label == other.label for other in kinds.setdefault(run.kind, [])):
            raise CommandError(
                f"{path}: another {run.kind} run has the label {run.label!r}; labels must be"
                " unique: use --label when measuring, or edit the file"
            )
        kinds[run.kind].append(run)
    return {kind: kinds[kind] for kind in KINDS if kind in kinds}


def _group(
    runs: Sequence[Run],
    wanted: str | None,
    prices: Mapping[str, Sequence[Price]],
    out: Path,
    post: Mapping[str, tuple[str, str]],
) -> "Group":
    from .charts import draw
    from .page import Group

    baseline = next((run for run in runs if run.label == wanted), runs[0])
    against = {run.label: objections(run, baseline) for run in runs}
    marks = {label: "not comparable" for label, reasons in against.items() if reasons}
    marks |= {run.label: "interrupted" for run in runs if not run.complete}
    for label, reasons in against.items():
        if reasons:
            warn(f"{label} is not comparable with {baseline.label}: {'; '.join(reasons)}")
    return Group(
        runs,
        baseline,
        table(runs, baseline, prices),
        marks,
        against,
        {run.label: remarks(run, baseline) for run in runs},
        draw(runs, marks, out),
        post,
    )


def _prices(
    given: Sequence[str], prices: Sequence[Price], runs: Sequence[Run]
) -> dict[str, list[Price]]:
    """By label, the prices of the run's instance."""
    by_label: dict[str, list[Price]] = {}
    for text in given:
        label, equals, instance = text.rpartition("=")
        if not equals or not instance:
            raise CommandError(f"--instance {text}: expected LABEL=NAME, such as g4=g4dn.xlarge")
        if all(run.label != label for run in runs):
            raise CommandError(f"--instance {text}: {_labels(runs)}")
        by_label[label] = latest(prices, instance)
    return by_label


def _labels(runs: Sequence[Run]) -> str:
    labels = ", ".join(dict.fromkeys(run.label for run in runs))
    return f"no run has this label; there are {labels}"
