"""Whether two runs may be compared: the same load, the same pictures, and both complete."""

import json
from typing import Any

from ..run import Run

# Settings that may differ between compared runs: they do not change the load.
NOT_LOAD = {"url", "images", "out", "label", "precision_note", "seed", "patience"}


def objections(run: Run, baseline: Run) -> list[str]:
    """Why the two must not be compared; empty if they may be."""
    if run is baseline:
        return []
    reasons = [
        f"{name} was interrupted after {one.results.seconds:.0f} s"
        for name, one in (("it", run), ("the baseline", baseline))
        if not one.complete
    ]
    count, base_count = run.pictures.count, baseline.pictures.count
    if count != base_count:
        reasons.append(f"different pictures: {count}, the baseline {base_count}")
    elif run.pictures != baseline.pictures:
        reasons.append(f"different pictures, also {count}")
    ours, theirs = load(run), load(baseline)
    changed = [
        f"{name} {short(ours.get(name))}, the baseline {short(theirs.get(name))}"
        for name in {**theirs, **ours}
        if ours.get(name) != theirs.get(name)
    ]
    if changed:
        reasons.append(f"different settings: {'; '.join(changed)}")
    reasons += [
        f"no rate passed {whose}, so its figures are those of the last trial"
        for whose, one in (("for it", run), ("for the baseline", baseline))
        if one.search and one.highest_rate is None
    ]
    if not run.results.images_per_s or not baseline.results.images_per_s:
        reasons.append("one of them has no answers")
    return reasons


def remarks(run: Run, baseline: Run) -> list[str]:
    """Differences that may be the very subject of the comparison: model, seed."""
    texts = []
    if model(run) != model(baseline):
        texts.append(f"different model: {model(run)}, the baseline {model(baseline)}")
    if run.seed != baseline.seed:
        texts.append(f"different seed: {run.seed}, the baseline {baseline.seed}")
    return texts


def load(run: Run) -> dict[str, Any]:
    """The settings that define the load. With annotations, more detections are requested."""
    settings = {name: value for name, value in run.settings.items() if name not in NOT_LOAD}
    if "annotations" in settings:
        settings["annotations"] = settings["annotations"] is not None
    if settings.get("repeats") == 1:
        del settings["repeats"]  # runs from before this option
    return settings


def model(run: Run) -> str:
    target = run.target
    precision = f", {target.precision}" if target.precision else ""
    return f"{target.model} version {target.version}{precision}"


def short(value: Any) -> str:
    """A setting as in the file."""
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)
