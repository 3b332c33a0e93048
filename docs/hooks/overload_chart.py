"""Draw docs/assets/overload.svg from the table in docs/operate/robustness.md."""

import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| ([\w ]+) \| (\d+)x \| \d+ \| (\d+)% \|", re.M)
COLORS = {"this gateway": "#3f51b5", "LitServe": "#8d8d8d", "BentoML": "#c98a2b"}


def points(page: str) -> dict[str, dict[int, int]]:
    """Server -> {offered load as a multiple of capacity: goodput in percent of it}."""
    servers: dict[str, dict[int, int]] = {}
    for server, offered, goodput in ROW.findall(page):
        servers.setdefault(server, {})[int(offered)] = int(goodput)
    return servers


def chart(servers: dict[str, dict[int, int]]) -> Figure:
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (server, goodput) in enumerate(servers.items()):
        places = [place + (index - 1) * 0.27 for place in range(len(goodput))]
        bars = axes.bar(places, list(goodput.values()), 0.25, label=server, color=COLORS[server])
        axes.bar_label(bars, fmt="%d", fontsize=8, padding=1)
    offered = list(next(iter(servers.values())))
    axes.set_xticks(range(len(offered)), [f"{load}x" for load in offered])
    axes.set_xlabel("offered load, in multiples of capacity")
    axes.set_ylabel("answered in time, % of capacity")
    axes.set_ylim(0, 128)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3, loc="upper right", fontsize=9)
    return figure


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "overload"  # the same file for the same numbers
    page = (DOCS / "operate/robustness.md").read_text()
    chart(points(page)).savefig(DOCS / "assets/overload.svg", metadata={"Date": None})
