"""A page about a training run: curves, and AP per class. One HTML file without other files."""

import html
from collections.abc import Mapping, Sequence

from yolov4.train.checkpoint import History

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 240, 48, 28  # of a chart, in pixels
COLOURS = ("#3949ab", "#e65100", "#00796b")

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; overflow: visible; font-size: 12px; fill: currentColor; }
svg .grid { stroke: currentColor; stroke-opacity: .15; }
svg path { fill: none; stroke-width: 2; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #8884; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.none { color: #b71c1c; font-weight: 600; }
"""

Line = tuple[str, Sequence[tuple[float, float]]]  # what, points


def page(
    name: str, steps: int, history: History, training: Mapping[str, int], held: Mapping[str, int]
) -> str:
    """training, held: objects of each class in the pictures of training and of validation."""
    losses = [
        (what, [(row[0], row[1 + i]) for row in history.losses])
        for i, what in enumerate(("box", "objectness", "classes"))
    ]
    aps = [
        ("AP50", [(done.step, done.ap50) for done in history.validations]),
        ("AP", [(done.step, done.ap) for done in history.validations]),
    ]
    best = history.best
    summary = f"{history.losses[-1][0] if history.losses else 0} of {steps} steps."
    if best:
        summary += (
            f" The weights written are those after step {best.step}, with the highest AP on the "
            f"validation pictures: {best.ap:.3f} (AP50 {best.ap50:.3f})."
        )
    parts = [f"<h1>Training of {html.escape(name)}</h1>", f"<p>{summary}</p>"]
    if best:
        parts += ["<h2>AP on the validation pictures</h2>", _chart(aps, steps, 1.0, best.step)]
    if history.losses:
        top = max(max(row[1:]) for row in history.losses)
        parts += ["<h2>Loss on the training pictures</h2>", _chart(losses, steps, top)]
    parts += ["<h2>Classes</h2>", _table(history, training, held)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Training of {html.escape(name)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(history: History, training: Mapping[str, int], held: Mapping[str, int]) -> str:
    scores = history.best.classes if history.best else {}
    rows = []
    for name, count in training.items():
        ap, ap50 = scores.get(name, (None, None))
        cells = [_count(count), _count(held.get(name, 0)), _score(ap), _score(ap50)]
        rows.append(f"<tr><td>{html.escape(name)}</td>{''.join(cells)}</tr>")
    return (
        "<table><tr><th>class</th><th>objects in training</th><th>in validation</th><th>AP</th>"
        f"<th>AP50</th></tr>\n{chr(10).join(rows)}\n</table>\n<p>AP is COCO's, at IoU 0.50:0.95. A "
        "class without objects in training cannot be learned; without objects in validation its AP "
        "is not known.</p>"
    )


def _count(count: int) -> str:
    return f"<td>{count:,}</td>" if count else '<td class="none">none</td>'


def _score(score: float | None) -> str:
    return "<td>-</td>" if score is None else f"<td>{score:.3f}</td>"


def _chart(lines: Sequence[Line], steps: int, top: float, mark: int | None = None) -> str:
    """Lines over steps, from 0 to `top`; `mark`: a step with a vertical line."""

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - 8) * step / steps

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 24) * value / (top or 1.0)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        line, value = y(share * top), f"{share * top:.2f}"
        parts.append(f'<path class="grid" d="M{LEFT} {line:.1f}H{WIDTH - 8}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{line + 4:.1f}" text-anchor="end">{value}</text>')
        at = f'x="{x(share * steps):.1f}" y="{HEIGHT - 8}"'
        parts.append(f'<text {at} text-anchor="middle">{round(share * steps)}</text>')
    if mark is not None:
        parts.append(f'<path class="grid" style="stroke-opacity:.6" d="M{x(mark):.1f} 24V{y(0)}"/>')
        early = mark < steps / 2
        at = f'x="{x(mark) + (4 if early else -4):.1f}" y="38"'
        parts.append(f'<text {at} text-anchor="{"start" if early else "end"}">best</text>')
    for i, (what, points) in enumerate(lines):
        colour = COLOURS[i]
        path = "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in points)
        parts.append(f'<path stroke="{colour}" d="M{path}"/>')
        parts += [
            f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>'
            for step, value in (points if len(points) < 30 else ())
        ]
        parts.append(f'<text x="{LEFT + 8 + 90 * i}" y="12" fill="{colour}">{what}</text>')
    label = html.escape(", ".join(what for what, _ in lines))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label} over training steps">'
        f"{''.join(parts)}</svg>"
    )
