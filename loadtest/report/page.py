"""The report as one HTML page, rendered from page.html; it loads nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..run import Run
from .charts import Chart
from .compare import load, short
from .post import Check
from .prices import Price
from .table import Row

KINDS = {
    "soak": "Soak: hours of constant load",
    "throughput": "Throughput: a number of pictures as fast as possible",
    "server": "Server: the highest rate within a latency limit",
}


@dataclass(frozen=True)
class Group:
    """Runs of one kind. By label: `marks` beside the name, `objections` to a comparison with the
    baseline, `remarks` on other differences. `post`: the post's cells, by row."""

    runs: Sequence[Run]
    baseline: Run
    rows: Sequence[Row]
    marks: Mapping[str, str]
    objections: Mapping[str, Sequence[str]]
    remarks: Mapping[str, Sequence[str]]
    charts: Sequence[Chart]
    post: Mapping[str, tuple[str, str]]

    @property
    def title(self) -> str:
        return KINDS[self.baseline.kind]

    def name(self, run: Run) -> str:
        return f"{run.label} ({self.marks[run.label]})" if run.label in self.marks else run.label

    def conditions(self) -> list[tuple[str, list[str]]]:
        """How the numbers were measured."""
        runs = self.runs
        host = [run.host.model_dump() for run in runs]
        return [
            ("date", [run.date for run in runs]),
            ("ended", [run.ended for run in runs]),
            ("duration", [f"{run.results.seconds:,.0f} s" for run in runs]),
            ("images", [f"{run.results.images:,}" for run in runs]),
            ("model", [f"{run.target.model} version {run.target.version}" for run in runs]),
            ("precision", [run.target.precision or "not given" for run in runs]),
            ("load from", [", ".join(f"{k} {v}" for k, v in one.items() if v) for one in host]),
            ("pictures", [f"{r.pictures.count}, sha256 {r.pictures.sha256}" for r in runs]),
            ("seed", [str(run.seed) for run in runs]),
            ("commit", [run.commit or "unknown" for run in runs]),
            ("command", [run.command for run in runs]),
            *(
                (name, [short(load(run).get(name)) for run in runs])
                for name in dict.fromkeys(name for run in runs for name in load(run))
            ),
        ]


def page(
    groups: Sequence[Group],
    prices: Sequence[Price],
    checks: Sequence[Check],
    command: str,
    date: str,
) -> str:
    """`prices` and `checks` of the post may be empty: their sections are left out."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    return template.render(groups=groups, prices=prices, checks=checks, command=command, date=date)
