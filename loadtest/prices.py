"""What an instance costs an hour, by whom and when; and what a million images cost by it.

The table beside this file, prices.json, says where each price was seen. It is dated, not current.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .stopped import Stopped

TABLE = Path(__file__).with_name("prices.json")
ON_DEMAND = "on-demand"


@dataclass(frozen=True)
class Price:
    """`kind`: on-demand, or how else it is paid; what is effective spreads payments made ahead.

    `seen`: the first and the last date, ISO, to the month or the day, at which `source` has it.
    """

    instance: str
    kind: str
    usd_per_hour: float
    region: str
    seen: tuple[str, str]
    source: str


def cost_per_million(usd_per_hour: float, images_per_s: float) -> float:
    """US dollars for a million images at this throughput, the instance never idle."""
    return usd_per_hour / (3600 * images_per_s) * 1e6


def read_prices(path: Path = TABLE) -> list[Price]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Stopped(f"cannot read the prices: {error}") from error
    except ValueError as error:
        raise Stopped(f"the prices in {path} are not JSON: {error}") from error
    entries = content.get("prices") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise Stopped(f'{path} has no prices: {{"prices": [...]}} as in {TABLE.name} is expected')
    return [_price(entry, f"{path}, price {n}") for n, entry in enumerate(entries, 1)]


def _price(entry: Any, where: str) -> Price:
    wanted = {"instance", "kind", "usd_per_hour", "region", "seen", "source"}
    if not isinstance(entry, dict) or entry.keys() != wanted:
        raise Stopped(f"{where}: exactly {', '.join(sorted(wanted))} are expected")
    usd, seen = entry["usd_per_hour"], entry["seen"]
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 < usd < math.inf:
        raise Stopped(f"{where}: usd_per_hour {usd!r} is no price")
    if not isinstance(seen, list) or len(seen) != 2 or not all(isinstance(d, str) for d in seen):
        raise Stopped(f"{where}: seen {seen!r} is not [first date, last date]")
    texts = [entry[name] for name in ("instance", "kind", "region", "source")]
    if not all(isinstance(text, str) and text for text in texts):
        raise Stopped(f"{where}: instance, kind, region and source are texts")
    instance, kind, region, source = texts
    return Price(instance, kind, float(usd), region, (seen[0], seen[1]), source)


def latest(prices: Sequence[Price], instance: str) -> list[Price]:
    """Of each kind and region the price seen last, on-demand first."""
    newest: dict[tuple[str, str], Price] = {}
    for price in prices:
        key = (price.kind, price.region)
        if price.instance == instance and (
            key not in newest or newest[key].seen[1] < price.seen[1]
        ):
            newest[key] = price
    if not newest:
        known = ", ".join(sorted({price.instance for price in prices}))
        raise Stopped(f"no price of {instance}: the table has {known}; --prices takes another")
    return sorted(newest.values(), key=lambda price: (price.kind != ON_DEMAND, price.kind))


def on_demand(prices: Sequence[Price], instance: str, date: str) -> Price:
    """As it was on a date."""
    for price in prices:
        if (price.instance, price.kind) == (instance, ON_DEMAND) and (
            price.seen[0] <= date <= price.seen[1]
        ):
            return price
    raise Stopped(f"no on-demand price of {instance} on {date}")
