"""Charts of runs of one kind, as PNG files for slides and as SVG for the page.

Okabe and Ito's colours, which the colour-blind can distinguish, and line styles for print.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .. import CommandError
from ..run import Run, Window
from .compare import model

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (9, 2)), (0, (1.5, 1)), (0, (9, 2, 1.5, 2)))
SIZE, DPI = (10.0, 5.625), 192  # inches; 1920 x 1080 pixels
MAX_LABEL = 24  # characters
MARKED_WINDOWS = 30  # up to that many are drawn as points too
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,  # a label may contain dollars
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "figure.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
}


@dataclass(frozen=True)
class Chart:
    """`description`: alternative text."""

    description: str
    png: Path
    svg: str


@dataclass(frozen=True)
class Line:
    """A run, drawn alike on all charts. `mark`: why it is not comparable."""

    run: Run
    mark: str
    colour: str
    style: Any

    def legend(self, text: str) -> str:
        label = self.run.label
        label = label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…"
        parts = [label, text, self.mark]
        # matplotlib ignores labels that begin with an underscore
        return "\n".join(part for part in parts if part).replace("_", " _", label[:1] == "_")


@dataclass(frozen=True)
class OverTime:
    """`of_run`: the run's own figure, for the legend."""

    name: str
    title: str
    unit: str
    of_window: Callable[[Window], float | None]
    of_run: Callable[[Run], str]
    from_zero: bool = True

    def draw(self, lines: Sequence[Line], axes: Axes) -> None:
        end = max(w.start_s + w.seconds for line in lines for w in line.run.windows)
        unit, scale = ("s", 1) if end <= 300 else ("min", 60) if end <= 6 * 3600 else ("h", 3600)
        for line in lines:
            longest = max(window.seconds for window in line.run.windows)
            # The last window may be too short to mean anything.
            windows = [window for window in line.run.windows if window.seconds >= longest / 2]
            axes.plot(
                [(window.start_s + window.seconds / 2) / scale for window in windows],
                [_or_nan(self.of_window(window)) for window in windows],
                color=line.colour,
                linestyle=line.style,
                linewidth=2,
                marker="o" if len(windows) <= MARKED_WINDOWS else None,
                label=line.legend(self.of_run(line.run)),
            )
        axes.set_xlim(0, end / scale)
        if self.from_zero:
            axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel(f"time since the start, {unit}")


def draw(runs: Sequence[Run], marks: Mapping[str, str], out: Path) -> list[Chart]:
    """Those that the runs have data for. `marks`: by label, why it is not comparable."""
    kind = runs[0].kind
    lines = [
        Line(run, marks.get(run.label, ""), COLOURS[n % len(COLOURS)], LINES[n % len(LINES)])
        for n, run in enumerate(runs)
    ]
    charts = []

    def add(
        name: str,
        title: str,
        unit: str,
        chosen: Sequence[Line],
        fill: Callable[[Sequence[Line], Axes], None],
    ) -> None:
        if chosen:
            png = out / f"{kind}-{name}.png"
            with _figure(title, unit, png.stem, [line.run for line in chosen]) as (figure, axes):
                fill(chosen, axes)
                axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
                labels = ", ".join(line.run.label for line in chosen)
                charts.append(Chart(f"{title}, {unit}: {labels}", png, _save(figure, png)))

    for chart in OVER_TIME if kind != "server" else ():  # whose windows are at different rates
        chosen = [ln for ln in lines if any(chart.of_window(w) is not None for w in ln.run.windows)]
        longest = max((w.seconds for line in chosen for w in line.run.windows), default=0)
        unit = f"{chart.unit}, windows of {longest:.0f} s"
        add(chart.name, chart.title, unit, chosen, chart.draw)
    chosen = [line for line in lines if line.run.histogram.buckets]
    unit = "share of requests answered within a latency"
    unit += ", at the highest rate that passed" if kind == "server" else ""
    add("latency", "Latency distribution", unit, chosen, _distribution)
    chosen = [line for line in lines if line.run.search]
    intervals = any(trial.p99_interval_ms for line in chosen for trial in line.run.search)
    unit = f"P99, ms{' with 95 % confidence' * intervals}; filled: passed, hollow: failed"
    add("search", "Latency by request rate", unit, chosen, _search)
    return charts


def _distribution(lines: Sequence[Line], axes: Axes) -> None:
    for line in lines:
        results = line.run.results
        buckets = sorted(line.run.histogram.buckets)
        answered = sum(count for _, count in buckets)
        # A server's failed requests are infinitely slow; other kinds have failed pictures.
        total = answered + sum(results.errors.values()) * (line.run.kind == "server")
        shares, reached = [], 0
        for _, count in buckets:
            reached += count
            shares.append(reached / total)
        latency = results.latency_ms
        named = (("P50", latency.p50), ("P90", latency.p90), ("P99", latency.p99))
        axes.step(
            [buckets[0][0] / 1000, *(bound / 1000 for bound, _ in buckets)],
            [0.0, *shares],
            where="post",
            color=line.colour,
            linestyle=line.style,
            linewidth=2,
            label=line.legend("\n".join(f"{n} {v:,.0f} ms" for n, v in named if v is not None)),
        )
    axes.set_xscale("log")
    _plain_log(axes, "x")
    axes.set_ylim(0, 1)
    axes.set_xlabel("latency of a request, ms")


def _search(lines: Sequence[Line], axes: Axes) -> None:
    for line in lines:
        trials = sorted(line.run.search, key=lambda trial: trial.rate)
        finite = [trial for trial in trials if trial.p99_ms is not None]
        best = line.run.highest_rate
        text = "no rate passed" if best is None else f"{best:,.1f} requests/s passed"
        axes.plot(
            [trial.rate for trial in finite],
            [_or_nan(trial.p99_ms) for trial in finite],
            color=line.colour,
            linestyle=line.style,
            linewidth=1.5,
            label=line.legend(text),
        )
        for trial in finite:
            low, high = trial.p99_interval_ms or (trial.p99_ms, trial.p99_ms)
            ends = (_or_nan(low), _or_nan(trial.p99_ms if high is None else high))
            axes.plot((trial.rate, trial.rate), ends, color=line.colour, linewidth=1)
            fill = line.colour if trial.passed else "white"
            at = (trial.rate, _or_nan(trial.p99_ms))
            axes.plot(*at, "o", color=line.colour, markerfacecolor=fill, markersize=8)
    limits = {line.run.settings.get("bound_ms") for line in lines}
    if len(limits) == 1 and (limit := limits.pop()):
        axes.axhline(limit, color="#5f5f5f", linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(f" limit {limit:,g} ms", (0, limit), va="bottom", fontsize=10)
    axes.set_yscale("log")
    _plain_log(axes, "y")
    axes.set_xlim(left=0)
    axes.set_xlabel("request rate, requests/s")


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _plain_log(axes: Axes, which: str) -> None:
    """Ticks such as 200 and 500, where the default is powers of ten."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 1000 else (1,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


@contextmanager
def _figure(title: str, unit: str, salt: str, runs: Sequence[Run]) -> Iterator[tuple[Figure, Axes]]:
    """`salt` makes the ids in the SVG the chart's own, and reproducible."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}):
        sources = dict.fromkeys(map(_source, runs))
        height = SIZE[1] + 0.5 * max(0, len(runs) - 5)  # inches; legend and sources grow
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        axes = figure.add_subplot()
        figure.suptitle(title, x=0.01, ha="left", fontsize=18, fontweight="bold")
        axes.set_title(unit, loc="left", fontsize=12, color="#5f5f5f")
        figure.supxlabel("\n".join(sources), x=0.01, ha="left", fontsize=8, color="#5f5f5f")
        yield figure, axes


def _source(run: Run) -> str:
    """Which model was measured, from which machine, and when."""
    host = run.host
    machine = host.gpu or host.neuron or f"{host.cores} x {host.cpu}"
    return f"{model(run)}; load from {machine}; {run.date[:10]}"


def _save(figure: Figure, png: Path) -> str:
    """Write the PNG; the SVG for embedding in a page: without prolog, with ids of its own."""
    written = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    try:
        png.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # A glyph that the font lacks is a box in the PNG; the page's reader may have it.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(png, dpi=DPI, metadata={"Software": None})
            figure.savefig(written, format="svg", metadata=nothing)
    except OSError as error:
        raise CommandError(f"cannot write {png}: {error.strerror}") from error
    svg = written.getvalue()
    svg = re.sub(r"(?s)<metadata>.*?</metadata>", "", svg[svg.index("<svg") :])
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    return re.sub(r'(id="|="#|url\(#)', rf"\g<1>{png.stem}-", svg)


def _throughput(run: Run) -> str:
    percent = run.results.variation_percent
    varies = "" if percent is None else f", varies {percent:.1f} %"
    return f"{run.results.images_per_s:.1f}/s{varies}"


def _p90(run: Run) -> str:
    p90 = run.results.latency_ms.p90
    return "" if p90 is None else f"P90 {p90:,.0f} ms"


OVER_TIME = (
    OverTime(
        "throughput", "Throughput over time", "images/s", lambda w: w.images_per_s, _throughput
    ),
    OverTime("p90", "P90 latency over time", "ms per request", lambda w: w.latency_ms.p90, _p90),
    OverTime(
        "temperature",
        "Temperature over time",
        "°C of the machine that generates the load",
        lambda w: w.temperature_c,
        lambda run: "",
        from_zero=False,
    ),
)
