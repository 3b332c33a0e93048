"""The charts of runs of one kind: which there are, and in which files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .chart_figure import COLOURS, LINES, SIZE, figure, save
from .chart_lines import Line, Timed, distribution, over_time, search
from .report_runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 24  # letters of a label on a chart
ROW, AROUND = 0.95, 1.8  # inches of a distribution's row, and of what is above and below


@dataclass(frozen=True)
class Chart:
    """`says`: for who cannot see it."""

    says: str
    png: Path
    svg: str


def draw(runs: Sequence[Run], marks: Mapping[str, str], out: Path) -> list[Chart]:
    """Those that the runs have data for. `marks`: label -> why it is not to be compared."""
    kind = runs[0].kind
    lines = [
        Line(
            run,
            run.label if len(run.label) <= LONGEST else run.label[: LONGEST - 1] + "…",
            marks.get(run.label, ""),
            COLOURS[n % len(COLOURS)],
            LINES[n % len(LINES)],
        )
        for n, run in enumerate(runs)
    ]
    charts = []

    def add(
        name: str,
        title: str,
        unit: str,
        chosen: Sequence[Line],
        fill: "Callable[[Sequence[Line], Figure], None]",
        height: float = SIZE[1],
    ) -> None:
        if chosen:
            stem = f"{kind}-{name}"
            with figure(title, unit, stem, height) as made:
                fill(chosen, made)
                png = out / f"{stem}.png"
                says = f"{title}, {unit}: {', '.join(line.run.label for line in chosen)}"
                charts.append(Chart(says, png, save(made, png)))

    for timed in TIMED if kind != "server" else ():  # whose windows are trials at different loads
        chosen = [ln for ln in lines if any(timed.of_window(w) is not None for w in ln.run.windows)]
        each = max((w.seconds for line in chosen for w in line.run.windows), default=0)
        unit = f"{timed.unit}, in windows of {each:.0f} s"
        add(timed.name, timed.title, unit, chosen, partial(over_time, timed))
    chosen = [line for line in lines if line.run.buckets]
    unit = "share of the requests by their latency"
    unit += ", at the highest load that passed" if kind == "server" else ""
    height = max(SIZE[1], ROW * len(chosen) + AROUND)
    add("latency", "Latency distribution", unit, chosen, distribution, height)
    chosen = [line for line in lines if line.run.search]
    unit = "P99, ms; filled: passed, hollow: failed"
    add("search", "Latency by offered load", unit, chosen, search)
    return charts


def _throughput(run: Run) -> str:
    percent = run.variation_percent
    varies = "" if percent is None else f", varies {percent:.1f} %"
    return f"{run.images_per_s:.1f}/s{varies}"


def _p90(run: Run) -> str:
    return "" if run.p90_ms is None else f"P90 {run.p90_ms:,.0f} ms"


TIMED = (
    Timed("throughput", "Throughput over time", "images/s", lambda w: w.images_per_s, _throughput),
    Timed("p90", "P90 latency over time", "ms of a request", lambda w: w.p90_ms, _p90),
    Timed(
        "temperature",
        "Temperature over time",
        "°C where the load comes from",
        lambda w: w.temperature_c,
        lambda run: "",
        from_zero=False,
    ),
)
