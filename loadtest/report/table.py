"""The table of runs of one kind: each figure, and the comparison with the baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..run import Run
from .compare import objections
from .prices import ON_DEMAND, Price, cost_per_million

TWO_HOURS_S = 7200
MISSING = "—"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Row:
    """`key`: by which the post's own cells are found."""

    key: str
    title: str
    cells: list[str]


def table(runs: Sequence[Run], baseline: Run, prices: Mapping[str, Sequence[Price]]) -> list[Row]:
    """`prices`: by label, of the run's instance, on-demand first; others have no cost."""
    comparable = {run.label: not objections(run, baseline) for run in runs}

    def row(key: str, title: str, cell: Callable[[Run], str]) -> Row:
        return Row(key, title, [cell(run) for run in runs])

    def against(run: Run, text: str | None) -> str:
        if run is baseline:
            return "baseline"
        return (text or MISSING) if comparable[run.label] else NOT_COMPARABLE

    base = baseline.results
    rows = [
        row("throughput", "throughput, images/s", lambda r: f"{r.results.images_per_s:.1f}"),
        row("ratio", "throughput ratio", lambda r: against(r, _ratio(r, baseline))),
        row("p50", "P50 latency, ms", lambda r: _number(r.results.latency_ms.p50)),
        row("p90", "P90 latency, ms", lambda r: _number(r.results.latency_ms.p90)),
        row("p99", "P99 latency, ms", _p99),
        row(
            "p90 reduction",
            "P90 reduction",
            lambda r: against(r, _reduction(r.results.latency_ms.p90, base.latency_ms.p90)),
        ),
        row(
            "variation", "variation of throughput", lambda r: _percent(r.results.variation_percent)
        ),
    ]
    if any(run.results.yardstick_variation_percent is not None for run in runs):
        title = "variation of the machine itself"
        own = (_percent(run.results.yardstick_variation_percent) for run in runs)
        rows.append(Row("yardstick", title, list(own)))
    if any(_two_hours(run) for run in runs):
        rows.append(row("two hours", "images in two hours", lambda r: _two_hours(r) or MISSING))
    rows += _costs(runs, prices)
    usd = {run.label: _on_demand_cost(run, prices) for run in runs}
    if sum(value is not None for value in usd.values()) > 1:
        title = f"cost reduction ({ON_DEMAND})"
        base_usd = usd[baseline.label]
        rows.append(
            row("cost reduction", title, lambda r: against(r, _reduction(usd[r.label], base_usd)))
        )
    rows += [
        row("errors", "errors", _errors),
        row("restarts", "restarts seen", lambda r: str(r.results.restarts_seen)),
    ]
    if any(run.search for run in runs):
        title = "highest rate that passed, requests/s"
        rows.insert(0, row("search", title, lambda r: _number(r.highest_rate)))
    if any(_average_precision(run) is not None for run in runs):
        rows.append(row("AP", "AP (COCO)", lambda r: _number(_average_precision(r), 3)))
    return rows


def _p99(run: Run) -> str:
    text = _number(run.results.latency_ms.p99)
    best = max((t for t in run.search if t.passed), key=lambda t: t.rate, default=None)
    if best and best.p99_known and best.p99_interval_ms:
        low, high = map(_number, best.p99_interval_ms)
        text += f" (95 % confidence {low} to {high}"
        if best.p99_repeats_ms:  # sorted; a failed request is infinitely slow
            first, *_, last = (_number(p99) for p99 in best.p99_repeats_ms)
            text += f"; median of {len(best.p99_repeats_ms)} trials, {first} to {last}"
        return f"{text})"
    return f"{text} (not known: too few requests)" if best and not best.p99_known else text


def _average_precision(run: Run) -> float | None:
    value: Any = (run.accuracy or {}).get("stats", {}).get("AP")
    return value if isinstance(value, float | int) else None


def _costs(runs: Sequence[Run], prices: Mapping[str, Sequence[Price]]) -> list[Row]:
    kinds = [price.kind for run in runs for price in prices.get(run.label, ())]
    rows = []
    for kind in dict.fromkeys([*(k for k in kinds if k == ON_DEMAND), *kinds]):
        cells = []
        for run in runs:
            of_kind = [price for price in prices.get(run.label, ()) if price.kind == kind]
            texts = [_cost(run, price) for price in of_kind] if run.results.images_per_s else []
            cells.append("; ".join(texts) or MISSING)
        rows.append(Row(f"cost {kind}", f"cost per million images ({kind})", cells))
    return rows


def _on_demand_cost(run: Run, prices: Mapping[str, Sequence[Price]]) -> float | None:
    """US dollars per million images; None without a price, and with prices in two regions."""
    of_kind = [price for price in prices.get(run.label, ()) if price.kind == ON_DEMAND]
    if len(of_kind) != 1 or not run.results.images_per_s:
        return None
    return cost_per_million(of_kind[0].usd_per_hour, run.results.images_per_s)


def _cost(run: Run, price: Price) -> str:
    usd = cost_per_million(price.usd_per_hour, run.results.images_per_s)
    where = f"{price.instance}, {price.region}, ${price.usd_per_hour:g}/h as of {price.seen[1]}"
    return f"${usd:.3f} ({where})"


def _ratio(run: Run, baseline: Run) -> str | None:
    base = baseline.results.images_per_s
    return f"{run.results.images_per_s / base:.2f}" if base else None


def _reduction(value: float | None, base: float | None) -> str | None:
    """In percent of the base; negative if the value has grown."""
    if value is None or not base:
        return None
    return f"{100 * (1 - value / base):.1f} %".replace("-", "−")  # noqa: RUF001 a minus


def _two_hours(run: Run) -> str | None:
    """None for a shorter run: a few minutes do not show what hours would."""
    if run.kind != "soak" or run.results.seconds < 0.99 * TWO_HOURS_S:
        return None
    return f"{run.results.images_per_s * TWO_HOURS_S:,.0f}"


def _errors(run: Run) -> str:
    kinds = ", ".join(f"{kind} {n:,}" for kind, n in run.results.errors.items() if n)
    return kinds or "none"


def _number(value: float | None, digits: int = 1) -> str:
    return MISSING if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f} %"
