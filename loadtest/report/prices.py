"""Dated prices of cloud instances per hour, and the cost of a million images.

prices.json says where each price was seen.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import CommandError

TABLE = Path(__file__).with_name("prices.json")
ON_DEMAND = "on-demand"
REGION = "us-east-1"  # of the post, and of most of the table

Date = Annotated[str, Field(pattern=r"^\d{4}-\d\d(-\d\d)?$")]
Text = Annotated[str, Field(min_length=1)]


class Price(BaseModel):
    """`kind`: on-demand or another way of paying; "effective" spreads payments made in advance.

    `seen`: first and last date, to the month or day, at which `source` has this price.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    instance: Text
    kind: Text
    usd_per_hour: Annotated[float, Field(gt=0)]
    region: Text
    seen: tuple[Date, Date]
    source: Text


class _Table(BaseModel):
    prices: Annotated[list[Price], Field(min_length=1)]


def cost_per_million(usd_per_hour: float, images_per_s: float) -> float:
    """US dollars per million images at this throughput, with an instance that is never idle."""
    return usd_per_hour / (3600 * images_per_s) * 1e6


def read_prices(path: Path = TABLE) -> list[Price]:
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
        return _Table.model_validate_json(text).prices
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(f"{path}: {where}: {first['msg']}, not {first['input']!r}") from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}") from error


def latest(prices: Sequence[Price], instance: str) -> list[Price]:
    """The most recent price of each kind and region, on-demand first."""
    newest: dict[tuple[str, str], Price] = {}
    for price in prices:
        key = (price.kind, price.region)
        if price.instance == instance and (
            key not in newest or newest[key].seen[1] < price.seen[1]
        ):
            newest[key] = price
    if not newest:
        known = ", ".join(sorted({price.instance for price in prices}))
        raise CommandError(f"no price of {instance}; the table has {known}. Use --prices")
    return sorted(newest.values(), key=lambda price: (price.kind != ON_DEMAND, price.kind))


def on_demand(prices: Sequence[Price], instance: str, date: str, region: str = REGION) -> Price:
    """The price on a day, `YYYY-MM-DD`. A month includes all of its days."""
    for price in prices:
        first, last = price.seen
        same = (price.instance, price.kind, price.region) == (instance, ON_DEMAND, region)
        if same and first <= date and date[: len(last)] <= last:
            return price
    raise CommandError(f"no on-demand price of {instance} in {region} on {date}")
