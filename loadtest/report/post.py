"""The AWS post whose benchmark this project repeats: its figures, and a check of its arithmetic.

"Achieving 1.85x higher performance for deep learning based object detection with an AWS Neuron
compiled YOLOv4 model on AWS Inferentia", AWS Machine Learning Blog, 2020. It ran for two hours with
8 concurrent calls of 4 pictures, in one process with the model and not over HTTP: it is shown
beside a run as a reference and never compared with one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .prices import ON_DEMAND, Price, cost_per_million, on_demand

DATE = (
    "2020-09-23"  # of Neuron 1.8.0, which the post calls the latest; hence the date of its prices
)
INF1, G4, SMALLER_INF1 = "inf1.2xlarge", "g4dn.xlarge", "inf1.xlarge"
HOURS = 2
IN_FLIGHT = 8 * 4
IMAGES = {INF1: 856_000, G4: 486_000}  # "over 856,000", "the maximum ... was 486,000"
USD_PER_MILLION = {INF1: 1.362, G4: 2.163}  # the first "on an inf1.xlarge", in its words
COCO_FPS = {INF1: 106, G4: 39}
COCO_IMAGES, COCO_SECONDS = 5000, 47.50522780418396  # as its log has them


@dataclass(frozen=True)
class Check:
    """A statement of the post, its arithmetic, and the result, as text."""

    says: str
    arithmetic: str
    outcome: Literal["holds", "slip", "today", "not comparable", "cannot be checked"]
    verdict: str


def images_per_s(instance: str) -> float:
    return IMAGES[instance] / (HOURS * 3600)


def usd_per_million(prices: Sequence[Price], instance: str, date: str) -> float:
    """At the post's throughput and the price of a date."""
    return cost_per_million(on_demand(prices, instance, date).usd_per_hour, images_per_s(instance))


def today(prices: Sequence[Price]) -> str:
    """The last date for which the table has an on-demand price of both instances."""
    return min(
        max(p.seen[1] for p in prices if (p.instance, p.kind) == (name, ON_DEMAND))
        for name in (INF1, G4)
    )


def reference(prices: Sequence[Price]) -> dict[str, dict[str, tuple[str, str]]]:
    """By kind of run and row of the table: the post's cells, G4 (its baseline) and Inf1.

    It had no open loop, hence nothing for `server`. It ran COCO's pictures on a G4 without XLA.
    """
    now = {name: usd_per_million(prices, name, today(prices)) for name in (G4, INF1)}
    dated = {name: f"${now[name]:.3f} at the price of {today(prices)}" for name in (G4, INF1)}
    ratio = IMAGES[INF1] / IMAGES[G4]
    soak = {
        "throughput": (f"{images_per_s(G4):.1f}", f"{images_per_s(INF1):.1f}"),
        "ratio": ("baseline", f"{ratio:.2f} (its title: 1.85)"),
        "p90 reduction": ("baseline", "60 %"),
        "variation": ("up to 12 %", "below 3 %"),
        "two hours": (f"{IMAGES[G4]:,}", f"over {IMAGES[INF1]:,}"),
        "cost on-demand": (
            f"${USD_PER_MILLION[G4]:.3f}; {dated[G4]}",
            f"${USD_PER_MILLION[INF1]:.3f}; {dated[INF1]}",
        ),
        "cost reduction": ("baseline", f"37 %; {1 - now[INF1] / now[G4]:.0%} at those prices"),
    }
    throughput = {
        "throughput": (f"{COCO_FPS[G4]}", f"{COCO_FPS[INF1]}"),
        "ratio": ("baseline", f"{COCO_FPS[INF1] / COCO_FPS[G4]:.2f}"),
        "AP": ("", "0.487"),
    }
    return {"soak": soak, "throughput": throughput}


def checks(prices: Sequence[Price]) -> list[Check]:
    """The post's statements, the most important first."""
    ratio = IMAGES[INF1] / IMAGES[G4]
    then = {name: on_demand(prices, name, DATE).usd_per_hour for name in (INF1, G4, SMALLER_INF1)}
    came = {name: usd_per_million(prices, name, DATE) for name in (INF1, G4)}
    smaller = cost_per_million(then[SMALLER_INF1], images_per_s(INF1))
    now = {name: usd_per_million(prices, name, today(prices)) for name in (INF1, G4)}
    price_now = {n: on_demand(prices, n, today(prices)).usd_per_hour for n in (INF1, G4)}
    counts = {name: then[name] * HOURS * 1e6 / USD_PER_MILLION[name] for name in (INF1, G4)}
    cheaper = 1 - USD_PER_MILLION[INF1] / USD_PER_MILLION[G4]
    even = price_now[G4] / price_now[INF1] * images_per_s(INF1)
    return [
        Check(
            "1.85 times higher throughput (title)",
            f"{IMAGES[INF1]:,} / {IMAGES[G4]:,} images in the same two hours = {ratio:.2f}",
            "slip",
            f"Its own run gives {ratio:.2f}, the “76 % more images” of its text. 1.85 is what the"
            " release of Neuron 1.8.0 announced (aws-neuron-sdk issue 40, 2020-09-23).",
        ),
        Check(
            "$1.362 for a million inferences “on an inf1.xlarge”",
            f"inf1.2xlarge ${then[INF1]} x 2 h / 0.856 million = ${came[INF1]:.3f};"
            f" inf1.xlarge ${then[SMALLER_INF1]} x 2 h / 0.856 million = ${smaller:.3f}",
            "slip",
            f"It is inf1.2xlarge, on which the run was, at its price of then ({counts[INF1]:,.0f}"
            " images, “over 856,000”). No throughput of an inf1.xlarge is given.",
        ),
        Check(
            "$2.163 for a million inferences on g4dn.xlarge",
            f"${then[G4]} x 2 h / 0.486 million = ${came[G4]:.3f}",
            "holds",
            f"{counts[G4]:,.0f} images, where the text rounds to 486,000.",
        ),
        Check(
            "37 % lower price",
            f"1 - 1.362 / 2.163 = {cheaper:.1%}",
            "holds",
            "At the prices of then.",
        ),
        Check(
            f"The same at the prices of {today(prices)}",
            f"${price_now[INF1]} x 2 h / 0.856 million = ${now[INF1]:.3f};"
            f" ${price_now[G4]} x 2 h / 0.486 million = ${now[G4]:.3f}",
            "today",
            f"{1 - now[INF1] / now[G4]:.0%} lower. The price of inf1.2xlarge fell by"
            f" {1 - price_now[INF1] / then[INF1]:.0%} between 2021-06-22 and 2021-07-05, that of"
            f" g4dn.xlarge did not; it would need {even:.1f} images/s to cost as little.",
        ),
        Check(
            "Latency averages 60 % lower",
            f"{IN_FLIGHT} images in flight on both: mean latency = {IN_FLIGHT} / throughput:"
            f" 1 - {images_per_s(G4):.1f} / {images_per_s(INF1):.1f} = {1 - 1 / ratio:.0%}",
            "slip",
            "With all calls always under way (Little's law) the average of its two-hour run is"
            f" {1 - 1 / ratio:.0%} lower. Its introduction says 60 % of the P90, which a larger"
            " variation of the GPU may give. No latency is given in milliseconds.",
        ),
        Check(
            "106 FPS",
            f"{COCO_IMAGES:,} / {COCO_SECONDS:.1f} s = {COCO_IMAGES / COCO_SECONDS:.1f};"
            f" {COCO_IMAGES:,} / 47 s = {COCO_IMAGES / 47:.1f}",
            "slip",
            "The seconds were cut off, not rounded. Its notebook also loses the last batch: 4,992"
            " images are run and 5,000 counted.",
        ),
        Check(
            "48.7 % AP, higher than the paper's",
            "val2017 here, test-dev in the paper",
            "not comparable",
            "Not the same pictures, and the weights were trained on a split that overlaps val2017"
            " (AlexeyAB/darknet issue 5751). A number to reproduce, not to compare.",
        ),
        Check(
            "Variation below 3 % against up to 12 %; P90 60 % lower",
            "no raw figures are published",
            "cannot be checked",
            "They can only be repeated.",
        ),
    ]
