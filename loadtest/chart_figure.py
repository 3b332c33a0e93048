"""How a chart looks, whatever it shows: for a slide, for print, and for the colour-blind.

Okabe and Ito's colours; line styles besides, told apart in grey; names at the lines themselves.
"""

import io
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .stopped import Stopped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", (0, (9, 2)), (0, (1.5, 1)), (0, (9, 2, 1.5, 2)))
SIZE, DPI = (10.0, 5.625), 192  # inches; 1920 x 1080 pixels
LEFT, RIGHT, TOP, BOTTOM = 0.075, 0.72, 0.82, 0.12  # of the figure: where the axes are
NAME = 11  # points, of a line's name
INK, FAINT = "#222222", "#5f5f5f"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # a label may have dollars in it
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "figure.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
}


@dataclass(frozen=True)
class Name:
    """What is written at the end of a line, the first of `lines` in bold. Without x no leader."""

    x: float | None
    y: float
    lines: Sequence[str]
    colour: str


def check_matplotlib() -> None:
    """Stopped where it is not installed, which is better said before than after."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise Stopped(
            "matplotlib, which draws the charts, is not installed:"
            f" {sys.executable} -m pip install matplotlib"
        ) from error


@contextmanager
def figure(title: str, unit: str, salt: str, height: float = SIZE[1]) -> "Iterator[Figure]":
    """`salt` makes what SVG calls its parts the chart's own, and the same each time."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}):
        made = Figure(figsize=(SIZE[0], height))
        made.text(LEFT, 0.925, title, fontsize=18, fontweight="bold", va="baseline")
        made.text(LEFT, 0.87, unit, fontsize=12, color=FAINT, va="baseline")
        yield made


def axes(made: "Figure") -> "Axes":
    return made.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))


def names(made: "Figure", on: "Axes", texts: Sequence[Name]) -> None:
    """At the right of the axes, each as near to its line's end as the others leave room."""
    to_axes = on.transData + on.transAxes.inverted()
    ends = [to_axes.transform((name.x or 0, name.y)) for name in texts]
    size = NAME * min(1, 14 / max(1, sum(len(name.lines) for name in texts)))
    line = size * 1.35 / 72 / (made.get_figheight() * on.get_position().height)
    heights = [line * len(name.lines) for name in texts]
    middles = _spread([float(end[1]) for end in ends], heights, line / 2)
    for name, end, middle in zip(texts, ends, middles, strict=True):
        if name.x is not None:
            on.plot(
                (end[0], 1.0, 1.03),
                (end[1], end[1], middle),
                transform=on.transAxes,
                clip_on=False,
                color=name.colour,
                linewidth=0.8,
                alpha=0.6,
            )
        top = middle + line * (len(name.lines) - 1) / 2
        for number, text in enumerate(name.lines):
            on.text(
                1.04,
                top - number * line,
                text,
                transform=on.transAxes,
                color=INK if number else _darker(name.colour),
                fontweight="normal" if number else "bold",
                fontsize=size * 0.9 if number else size,
                va="center",
            )


def _darker(colour: str) -> str:
    """For letters, which are thinner than lines."""
    parts = (int(int(colour[i : i + 2], 16) * 0.75) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)


def plain_log(axis: "Axis", low: float, high: float) -> None:
    """Ticks as one says them, 200 and 500, where the default is powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    steps = (1, 1.5, 2, 3, 4, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 1000 else (1,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _spread(wanted: Sequence[float], heights: Sequence[float], gap: float) -> list[float]:
    """Middles in 0 to 1 that do not overlap, in the order of the wanted ones."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed, floor = [0.0] * len(wanted), 0.0
    for i in order:
        placed[i] = max(wanted[i], floor + heights[i] / 2)
        floor = placed[i] + heights[i] / 2 + gap
    ceiling = 1.0
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling - heights[i] / 2)
        ceiling = placed[i] - heights[i] / 2 - gap
    return placed


def save(made: "Figure", png: Path) -> str:
    """The PNG into its file; the SVG as it stands within a page: no prolog, ids of its own."""
    written = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    try:
        png.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # A letter that DejaVu lacks is a box in the PNG; the page's reader may have it.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            made.savefig(png, dpi=DPI, metadata={"Software": None})
            made.savefig(written, format="svg", metadata=nothing)
    except OSError as error:
        raise Stopped(f"cannot write {png}: {error.strerror}") from error
    svg = written.getvalue()
    svg = re.sub(r"(?s)<metadata>.*?</metadata>", "", svg[svg.index("<svg") :])
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    return re.sub(r'(id="|="#|url\(#)', rf"\g<1>{png.stem}-", svg)
