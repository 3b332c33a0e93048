"""The report as one HTML page: it loads nothing, and says so to the browser as well."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .charts import Chart
from .post import G4, INF1, TITLE, Check
from .prices import Price
from .report_runs import Run
from .report_table import Row, load, short

# Whatever a label holds, nothing runs and nothing is fetched.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 "DejaVu Sans", Verdana, sans-serif; color: #222; background: #fff;
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.8rem } h2 { font-size: 1.4rem; margin-top: 3rem; border-top: 2px solid #222;
  padding-top: .5rem } h3 { font-size: 1.1rem; margin-top: 2rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0;
  border-bottom: 1px solid #ccc; overflow-wrap: anywhere; min-width: 6rem }
thead th { border-bottom: 2px solid #222 }
.post { color: #5f5f5f }
.warning { border-left: 4px solid #D55E00; padding: .2rem 0 .2rem .8rem; margin: 1rem 0 }
.remark { border-left: 4px solid #0072B2; padding: .2rem 0 .2rem .8rem; margin: 1rem 0 }
.slip { font-weight: bold; color: #A34700 }
figure { margin: 2rem 0; break-inside: avoid } figure svg { width: 100%; height: auto }
small, .small { font-size: .875rem; color: #5f5f5f }
@media print { body { max-width: none; font-size: 11px } h2 { break-before: page } }
"""
KINDS = {
    "soak": "Soak: the same load for hours",
    "throughput": "Throughput: a number of pictures as fast as they go",
    "server": "Server: requests at random times, as many as are answered in time",
}
WORDS = (
    (
        "throughput",
        "pictures answered with 200, a second of the whole run; a server's figures are those of the"
        " highest load that passed",
    ),
    ("throughput ratio", "to the baseline's"),
    ("latency", "of a request, which may hold several pictures; only of those answered with 200"),
    ("P90 reduction", "of the run's P90 against the baseline's; negative where it has grown"),
    (
        "variation",
        "the best window's throughput less the worst one's, in per cent of the windows' mean;"
        " outages are in it. The post does not say how it reckoned its own",
    ),
    ("images in two hours", "throughput x 7,200 s"),
    ("cost per million images", "price an hour / (3,600 x throughput) x 1,000,000, never idle"),
)


@dataclass(frozen=True)
class Group:
    """Runs of one kind. By label: `marks` what stands beside it wherever it stands, `objections`
    why it is not compared with the baseline, `remarks` what else is not the same."""

    runs: Sequence[Run]
    baseline: Run
    rows: Sequence[Row]
    marks: Mapping[str, str]
    objections: Mapping[str, Sequence[str]]
    remarks: Mapping[str, Sequence[str]]
    charts: Sequence[Chart]


def page(
    groups: Sequence[Group],
    prices: Sequence[Price],
    reference: Mapping[str, Mapping[str, tuple[str, str]]],
    checks: Sequence[Check],
    command: str,
    date: str,
) -> str:
    parts = [
        "<h1>Load tests side by side</h1>",
        f'<p class="small">{escape(date)} · <code>{escape(command)}</code></p>',
        *(part for group in groups for part in _group(group, reference)),
        "<h2>What the words mean</h2>",
        _table(("word", "meaning"), WORDS),
        "<h2>The post's own arithmetic</h2>",
        f"<p>{escape(TITLE)}: what it says, and what comes out of its figures and the prices.</p>",
        _checks(checks),
        "<h2>Prices</h2>",
        "<p>US dollars an hour, as last seen by the source; not asked anew for this report.</p>",
        _table(
            ("instance", "region", "kind", "$/h", "seen", "source"),
            [
                (p.instance, p.region, p.kind, f"{p.usd_per_hour:g}", _seen(p), p.source)
                for p in prices
            ],
        ),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Load tests side by side</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _group(group: Group, reference: Mapping[str, Mapping[str, tuple[str, str]]]) -> Iterable[str]:
    kind = group.baseline.kind
    yield f'<section id="{kind}"><h2>{escape(KINDS[kind])}</h2>'
    if len(group.runs) > 1:
        yield f"<p>Compared with <b>{escape(group.baseline.label)}</b>, the baseline.</p>"
    for run in group.runs:
        if not run.complete and not group.objections[run.label]:
            text = f"<b>{escape(run.label)}</b> was interrupted after {run.seconds:,.0f} s"
            yield f'<p class="warning">{text}: its figures are of that time.</p>'
        for name, reasons in (("warning", group.objections), ("remark", group.remarks)):
            if texts := reasons[run.label]:
                word = "is not comparable" if name == "warning" else "differs"
                text = f"<b>{escape(run.label)}</b> {word}: {escape('; '.join(texts))}."
                yield f'<p class="{name}">{text}</p>'
    beside = reference.get(kind, {})
    names = [run.label for run in group.runs]
    names = [f"{name} ({group.marks[name]})" if name in group.marks else name for name in names]
    heads = ["", *names]
    heads += [f"the post, {G4}, 2020", f"the post, {INF1}, 2020"] if beside else []
    body = [
        (row.title, *row.cells, *(beside.get(row.key, ("", "")) if beside else ()))
        for row in group.rows
    ]
    yield _table(heads, body, post=2 if beside else 0)
    for chart in group.charts:
        yield (
            f'<figure aria-label="{escape(chart.says)}">{chart.svg}'
            f'<figcaption class="small">{escape(chart.png.name)}</figcaption></figure>'
        )
    yield "<h3>What was measured</h3>"
    yield _table(["", *names], _measured(group.runs))
    yield "</section>"


def _measured(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """What must stand beside a number."""

    def row(name: str, value: Any) -> tuple[str, ...]:
        return (name, *(str(value(run.document)) for run in runs))

    settings = dict.fromkeys(name for run in runs for name in load(run))
    return [
        row("date", lambda d: d["date"]),
        row("ended", lambda d: d["ended"]),
        row("measured for", lambda d: f"{d['summary']['seconds']:,.0f} s"),
        row("images", lambda d: f"{d['summary']['images']:,}"),
        row("model", lambda d: f"{d['target']['model']} version {d['target']['version']}"),
        row("precision", lambda d: d["target"].get("precision") or "not said"),
        row("load from", lambda d: ", ".join(f"{k} {v}" for k, v in d["host"].items() if v)),
        row("pictures", lambda d: f"{d['pictures']['count']}, sha256 {d['pictures']['sha256']}"),
        row("seed", lambda d: d["seed"]),
        row("commit", lambda d: d["commit"] or "unknown"),
        row("command", lambda d: d["command"]),
        *((name, *(short(load(run).get(name)) for run in runs)) for name in settings),
    ]


def _checks(checks: Sequence[Check]) -> str:
    rows = [(c.says, c.arithmetic, c.outcome, c.verdict) for c in checks]
    html = _table(("the post says", "arithmetic", "", "what comes out"), rows)
    return html.replace("<td>slip</td>", '<td class="slip">slip</td>')


def _seen(price: Price) -> str:
    first, last = price.seen
    return last if first == last else f"{first} to {last}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], post: int = 0) -> str:
    """`post`: how many of the last columns are the post's."""

    def cells(tag: str, texts: Sequence[str], first: str) -> str:
        marks = ["" if n < len(texts) - post else ' class="post"' for n in range(len(texts))]
        tags = [first if not n else tag for n in range(len(texts))]
        return "".join(
            f"<{t}{m}>{escape(text)}</{t}>" for t, m, text in zip(tags, marks, texts, strict=True)
        )

    body = "\n".join(f"<tr>{cells('td', row, 'th' if post else 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', heads, 'th')}</tr></thead>"
    return f'<div class="wide"><table>{head}\n<tbody>{body}</tbody></table></div>'
