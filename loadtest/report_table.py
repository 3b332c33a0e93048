"""The post's table for runs of one kind: each figure, and whether it may be compared at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .prices import ON_DEMAND, Price, cost_per_million
from .report_runs import Run

TWO_HOURS_S = 7200
# Who and where, not how: what may differ between two runs that are compared.
NO_LOAD = {"url", "images", "out", "label", "precision_note", "seed", "patience"}
NONE = "—"
REFUSED = "not comparable"


@dataclass(frozen=True)
class Row:
    """`key`: what the post's own cells are found by."""

    key: str
    title: str
    cells: list[str]


def objections(run: Run, baseline: Run) -> list[str]:
    """Why the two must not be compared; empty where they may be."""
    if run is baseline:
        return []
    found = [
        f"{name} was interrupted after {one.seconds:.0f} s"
        for name, one in (("it", run), ("the baseline", baseline))
        if not one.complete
    ]
    if run.pictures != baseline.pictures:
        if run.pictures[0] == baseline.pictures[0]:
            found.append(f"other pictures, {run.pictures[0]} as well")
        else:
            found.append(f"other pictures: {run.pictures[0]}, the baseline {baseline.pictures[0]}")
    ours, theirs = load(run), load(baseline)
    changed = [
        f"{name} {short(ours.get(name))}, the baseline {short(theirs.get(name))}"
        for name in {**theirs, **ours}
        if ours.get(name) != theirs.get(name)
    ]
    if changed:
        found.append(f"other settings: {'; '.join(changed)}")
    found += [
        f"no load passed {whose}: the figures are of the last one it tried"
        for whose, one in (("for it", run), ("for the baseline", baseline))
        if one.search and not any(step["passed"] for step in one.search)
    ]
    if not run.images_per_s or not baseline.images_per_s:
        found.append("one of them has no answers")
    return found


def load(run: Run) -> dict[str, Any]:
    """The settings that make the load. With annotations more detections are asked for."""
    found = {name: value for name, value in run.settings.items() if name not in NO_LOAD}
    if "annotations" in found:
        found["annotations"] = found["annotations"] is not None
    return found


def remarks(run: Run, baseline: Run) -> list[str]:
    """What may be what is being compared, and should be known: another model, another seed."""
    ours, theirs = run.document, baseline.document
    names = ("model", "version", "precision")
    served = [tuple(d["target"].get(name) for name in names) for d in (ours, theirs)]
    found = []
    if served[0] != served[1]:
        texts = [" ".join(str(value) for value in one if value is not None) for one in served]
        found.append(f"another model: {texts[0]}, the baseline {texts[1]}")
    if ours["seed"] != theirs["seed"]:
        found.append(f"another seed: {ours['seed']}, the baseline {theirs['seed']}")
    return found


def table(runs: Sequence[Run], baseline: Run, prices: Mapping[str, Sequence[Price]]) -> list[Row]:
    """`prices`: label -> of its instance, on-demand first; a run without one has no cost."""
    comparable = {run.label: not objections(run, baseline) for run in runs}

    def against(run: Run, text: str | None) -> str:
        if run is baseline:
            return "baseline"
        return (text or NONE) if comparable[run.label] else REFUSED

    rows = [
        Row("throughput", "throughput, images/s", [f"{run.images_per_s:.1f}" for run in runs]),
        Row("ratio", "throughput ratio", [against(run, _ratio(run, baseline)) for run in runs]),
        Row("p50", "P50 latency, ms", [_number(run.p50_ms) for run in runs]),
        Row("p90", "P90 latency, ms", [_number(run.p90_ms) for run in runs]),
        Row("p99", "P99 latency, ms", [_number(run.p99_ms) for run in runs]),
        Row(
            "p90 reduction",
            "P90 reduction",
            [against(run, _reduction(run.p90_ms, baseline.p90_ms)) for run in runs],
        ),
        Row("variation", "variation of throughput", [_percent(r.variation_percent) for r in runs]),
        Row("two hours", "images in two hours", [_two_hours(run) for run in runs]),
    ]
    rows += _costs(runs, baseline, prices, comparable)
    rows += [
        Row("errors", "errors", [_errors(run) for run in runs]),
        Row("restarts", "restarts seen", [str(run.restarts) for run in runs]),
    ]
    if any(run.search for run in runs):
        rows.insert(0, Row("search", "highest load that passed, requests/s", _passed(runs)))
    if any(average_precision(run) is not None for run in runs):
        cells = [_number(average_precision(run), 3) for run in runs]
        rows.append(Row("AP", "AP of the model, COCO's", cells))
    return rows


def average_precision(run: Run) -> float | None:
    """Where the run has the numbers of `accuracy`."""
    found: Any = run.document.get("accuracy")
    for name in ("stats", "AP"):
        found = found.get(name, found) if isinstance(found, dict) else None
    return found if isinstance(found, float | int) else None


def _costs(
    runs: Sequence[Run],
    baseline: Run,
    prices: Mapping[str, Sequence[Price]],
    comparable: Mapping[str, bool],
) -> list[Row]:
    kinds = [price.kind for run in runs for price in prices.get(run.label, ())]
    rows = []
    for kind in dict.fromkeys([*(k for k in kinds if k == ON_DEMAND), *kinds]):
        cells = []
        for run in runs:
            of_kind = [price for price in prices.get(run.label, ()) if price.kind == kind]
            texts = [_cost(run, price) for price in of_kind] if run.images_per_s else []
            cells.append("; ".join(texts) or NONE)
        rows.append(Row(f"cost {kind}", f"cost per million images ({kind})", cells))
    usd = {run.label: on_demand_cost(run, prices) for run in runs}
    if sum(value is not None for value in usd.values()) > 1:
        base = usd[baseline.label]
        cells = [
            "baseline"
            if run is baseline
            else (_reduction(usd[run.label], base) or NONE)
            if comparable[run.label]
            else REFUSED
            for run in runs
        ]
        rows.append(Row("cost reduction", f"cost reduction ({ON_DEMAND})", cells))
    return rows


def on_demand_cost(run: Run, prices: Mapping[str, Sequence[Price]]) -> float | None:
    """US dollars per million images; None without a price, and where two regions have one."""
    of_kind = [price for price in prices.get(run.label, ()) if price.kind == ON_DEMAND]
    if len(of_kind) != 1 or not run.images_per_s:
        return None
    return cost_per_million(of_kind[0].usd_per_hour, run.images_per_s)


def _cost(run: Run, price: Price) -> str:
    usd = cost_per_million(price.usd_per_hour, run.images_per_s)
    where = f"{price.instance}, {price.region}, ${price.usd_per_hour:g}/h as of {price.seen[1]}"
    return f"${usd:.3f} ({where})"


def _ratio(run: Run, baseline: Run) -> str | None:
    return f"{run.images_per_s / baseline.images_per_s:.2f}" if baseline.images_per_s else None


def _reduction(value: float | None, base: float | None) -> str | None:
    """In per cent of the base; what has grown instead says so by its sign."""
    if value is None or not base:
        return None
    return f"{100 * (1 - value / base):.1f} %".replace("-", "−")  # noqa: RUF001 a minus


def _two_hours(run: Run) -> str:
    """At the throughput of the whole run, whatever its length was."""
    images = f"{run.images_per_s * TWO_HOURS_S:,.0f}"
    exact = abs(run.seconds - TWO_HOURS_S) < TWO_HOURS_S / 100
    return images if exact else f"{images} (from {run.seconds:,.0f} s)"


def _passed(runs: Sequence[Run]) -> list[str]:
    best = [max((step["rate"] for step in r.search if step["passed"]), default=None) for r in runs]
    return [_number(rate) for rate in best]


def _errors(run: Run) -> str:
    kinds = ", ".join(f"{kind} {n:,}" for kind, n in run.errors.items() if n)
    return kinds or "none"


def _number(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} %"


def short(value: Any) -> str:
    """A setting as it is in the file."""
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)
