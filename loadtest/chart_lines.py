"""Runs drawn into a figure: over time, as distributions, by offered load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .chart_figure import BOTTOM, FAINT, INK, LEFT, RIGHT, TOP, Name, axes, names, plain_log
from .report_runs import Run, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_BIN = 1.05  # the distribution's: an upper bound to its lower one
PER_BUCKET = 1.01  # the same of a run's own buckets, where those beside it are empty
FEW = 30  # windows that are shown as points too
BOUND = "bound_ms"  # a server's setting: what P99 must keep within


@dataclass(frozen=True)
class Line:
    """A run as it is drawn, the same on all charts. `mark`: why it is not to be compared."""

    run: Run
    name: str
    mark: str
    colour: str
    style: Any

    def named(self, x: float | None, y: float, text: str) -> Name:
        return Name(x, y, [text for text in (self.name, text, self.mark) if text], self.colour)


@dataclass(frozen=True)
class Timed:
    """A chart over time. `of_run`: the run's own number, written at its line."""

    name: str
    title: str
    unit: str
    of_window: Callable[[Window], float | None]
    of_run: Callable[[Run], str]
    from_zero: bool = True


def over_time(timed: Timed, lines: Sequence[Line], made: "Figure") -> None:
    on = axes(made)
    end = max(w.start_s + w.seconds for line in lines for w in line.run.windows)
    unit, divisor = ("s", 1) if end <= 300 else ("min", 60) if end <= 6 * 3600 else ("h", 3600)
    ends = []
    highest = 0.0
    for line in lines:
        longest = max(window.seconds for window in line.run.windows)
        # What was left at the end may be a moment, and its throughput anything.
        whole = [window for window in line.run.windows if window.seconds >= longest / 2]
        xs = [(window.start_s + window.seconds / 2) / divisor for window in whole]
        found = [timed.of_window(window) for window in whole]
        ys = [float("nan") if value is None else value for value in found]
        marker = "o" if len(ys) <= FEW else None
        on.plot(xs, ys, color=line.colour, linestyle=line.style, linewidth=2, marker=marker)
        known = [(x, value) for x, value in zip(xs, found, strict=True) if value is not None]
        x, y = known[-1] if known else (0.0, 0.0)
        ends.append(line.named(x, y, timed.of_run(line.run)))
        highest = max(highest, *(value for _, value in known), 0.0)
    on.set_xlim(0, end / divisor)
    if timed.from_zero:
        on.set_ylim(0, highest * 1.08 or 1)
    on.yaxis.set_major_formatter("{x:,g}")
    on.set_xlabel(f"time since the start, {unit}")
    names(made, on, ends)


def distribution(lines: Sequence[Line], made: "Figure") -> None:
    """A row each, over one axis: where the runs lie is read down, how wide they are across."""
    import numpy as np

    shares = [_cumulated(line.run) for line in lines]
    low = min(float(knots[0]) for knots, _ in shares) / 1.1
    high = max(float(knots[-1]) for knots, _ in shares) * 1.2
    edges = np.arange(np.log(low), np.log(high) + np.log(PER_BIN), np.log(PER_BIN))
    height = (TOP - BOTTOM) / len(lines)
    for n, (line, (knots, cumulated)) in enumerate(zip(lines, shares, strict=True)):
        on = made.add_axes((LEFT, TOP - (n + 1) * height, RIGHT - LEFT, height * 0.9))
        share = np.diff(np.interp(edges, np.log(knots), cumulated))
        on.stairs(share, np.exp(edges), fill=True, color=line.colour, alpha=0.35)
        on.stairs(share, np.exp(edges), color=line.colour, linewidth=1.5)
        on.set_xscale("log")
        on.set_xlim(low, high)
        on.set_ylim(0, share.max() / 0.6)
        on.set_yticks([])
        on.spines["left"].set_visible(False)
        _percentiles(on, line.run)
        plain_log(on.xaxis, low, high)
        on.tick_params(labelbottom=n == len(lines) - 1)
        text = f"{sum(count for _, count in line.run.buckets):,} requests"
        names(made, on, [line.named(None, share.max() / 2, text)])
    on.set_xlabel("latency of a request, ms")


def _cumulated(run: Run) -> tuple[list[float], list[float]]:
    """Bounds of the buckets in milliseconds, and the share of the requests up to each."""
    total = sum(count for _, count in run.buckets) or 1
    knots: list[float] = []
    shares: list[float] = []
    for upper, count in run.buckets:
        before = shares[-1] if shares else 0.0
        knots += [max(knots[-1] if knots else 0.0, upper / PER_BUCKET), upper]
        shares += [before, before + count / total]
    return knots, shares


def _percentiles(on: "Axes", run: Run) -> None:
    """Their names never meet, near as the lines may be: left, above and right."""
    places = (("P50", run.p50_ms, 0.77, "right"), ("P90", run.p90_ms, 0.95, "left"))
    for name, value, y, side in (*places, ("P99", run.p99_ms, 0.77, "left")):
        if value is not None:
            on.axvline(value, 0, y, color=INK, linewidth=1, linestyle=(0, (2, 2)))
            text = f" {name} {value:,.0f} "
            over = on.get_xaxis_transform()
            on.text(value, y, text, fontsize=9.5, va="top", ha=side, color=INK, transform=over)


def search(lines: Sequence[Line], made: "Figure") -> None:
    """P99 over load, and what it had to keep within where that is the same for all."""
    on = axes(made)
    ends = []
    for line in lines:
        steps = sorted(line.run.search, key=lambda step: float(step["rate"]))
        known = [(step["rate"], step["p99_ms"]) for step in steps if step["p99_ms"]]
        xs, ys = [rate for rate, _ in known], [p99 for _, p99 in known]
        on.plot(xs, ys, color=line.colour, linestyle=line.style, linewidth=1.5)
        for step in steps:
            fill = line.colour if step["passed"] else "white"
            at = (step["rate"], step["p99_ms"] or float("nan"))
            on.plot(*at, "o", color=line.colour, markerfacecolor=fill, markersize=8)
        best = max((step["rate"] for step in steps if step["passed"]), default=None)
        text = "none passed" if best is None else f"{best:,.1f} requests/s passed"
        x, y = known[-1] if known else (0.0, 1.0)
        ends.append(line.named(x, y, text))
    bounds = {line.run.settings.get(BOUND) for line in lines}
    if len(bounds) == 1 and (bound := bounds.pop()):
        on.axhline(bound, color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)))
        text = f" bound {bound:,g} ms"
        on.text(0, bound, text, fontsize=10, va="bottom", color=FAINT)
    on.set_yscale("log")
    plain_log(on.yaxis, *on.get_ylim())
    on.set_xlim(left=0)
    on.set_xlabel("offered load, requests/s")
    names(made, on, ends)
