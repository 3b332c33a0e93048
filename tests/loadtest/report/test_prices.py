"""The price table, the cost per million images, and the figures of the AWS post."""

import copy
import json
import re
from functools import partial
from typing import Any

import pytest

from loadtest import CommandError
from loadtest.report.post import checks, images_per_s, reference
from loadtest.report.prices import TABLE, Price, cost_per_million, latest, on_demand, read_prices
from tests.loadtest.report.pages import Reports
from tests.support.inputs.runs import a_run


def test_the_posts_slips_from_the_price_table() -> None:
    prices = read_prices()
    # 856,000 / 486,000 is not 1.85.
    assert pytest.approx(1.76, abs=0.005) == 856_000 / 486_000
    assert images_per_s("inf1.2xlarge") / images_per_s("g4dn.xlarge") == pytest.approx(1.7613, 1e-4)
    # $1.362 is inf1.2xlarge at its price of 2020, to 0.2 %; inf1.xlarge would have been $0.860.
    then = {name: on_demand(prices, name, "2020-09-23") for name in ("inf1.xlarge", "inf1.2xlarge")}
    assert [price.usd_per_hour for price in then.values()] == [0.368, 0.584]
    rate = 856_000 / 7200
    assert cost_per_million(0.584, rate) == pytest.approx(1.362, rel=0.002)
    assert cost_per_million(0.368, rate) == pytest.approx(0.860, abs=0.0005)
    # At today's prices.
    today = {name: latest(prices, name)[0].usd_per_hour for name in ("inf1.2xlarge", "g4dn.xlarge")}
    assert today == {"inf1.2xlarge": 0.362, "g4dn.xlarge": 0.526}
    assert round(cost_per_million(0.362, rate), 3) == 0.846
    assert round(cost_per_million(0.526, 486_000 / 7200), 3) == 2.165
    found = {check.says: check for check in checks(prices)}
    assert [check.outcome for check in found.values()] == [
        *("slip", "slip", "holds", "holds", "today", "slip", "slip"),
        *("not comparable", "cannot be checked"),
    ]
    title, inf1_price, g4_price, share, now, latency, fps, *_ = found.values()
    assert "= 1.76" in title.arithmetic
    assert "= $1.364; inf1.xlarge" in inf1_price.arithmetic
    assert inf1_price.arithmetic.endswith("= $0.860")
    assert "857,562 images" in inf1_price.verdict  # 1.168 / 1.362 million
    assert g4_price.arithmetic.endswith("= $2.165")
    assert share.arithmetic.endswith("= 37.0%")
    assert "= $0.846; $0.526" in now.arithmetic
    assert now.verdict.startswith("61% lower. The price of inf1.2xlarge fell by 38% between")
    assert "172.8 images/s" in now.verdict
    assert latency.arithmetic.endswith("= 43%")
    assert "= 105.3; 5,000 / 47 s = 106.4" in fps.arithmetic


def test_own_prices_replace_the_table(reports: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    """Two regions and a spot price; the post keeps the prices of its time."""
    mine = reports.folder / "mine.json"
    entry = {"instance": "box", "kind": "on-demand", "usd_per_hour": 0.9, "region": "here"}
    entry |= {"seen": ["2026-01", "2026-02"], "source": "a bill"}
    older = {**entry, "usd_per_hour": 5, "seen": ["2025-01", "2025-02"]}
    spot = {**entry, "kind": "spot", "usd_per_hour": 0.243}
    mine.write_text(json.dumps({"prices": [spot, entry, older]}))
    options = ("--prices", str(mine), "--instance")
    rows = reports.page([a_run("a=b")], *options, "a=b=box", "--post").rows()
    # 0.9 x 2 / 0.486 and 0.243 x 2 / 0.486
    assert rows["cost per million images (on-demand)"][0].startswith("$3.704 (box, here, $0.9/h")
    assert rows["cost per million images (spot)"][0].startswith("$1.000 (box, here, $0.243/h")
    assert "$0.846" in reports.html
    assert reports.run([a_run("g4")], *options, "g4=g4dn.xlarge") == 1
    assert "no price of g4dn.xlarge; the table has box" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"usd_per_hour": 0}, "prices.1.usd_per_hour: Input should be greater than 0, not 0"),
        ({"usd_per_hour": "1"}, "usd_per_hour: Input should be a valid number, not '1'"),
        ({"seen": "2026"}, "seen: Input should be a valid array, not '2026'"),
        ({"region": ""}, "region: String should have at least 1 character, not ''"),
        ({"currency": "EUR"}, "currency: Extra inputs are not permitted, not 'EUR'"),
    ],
)
def test_invalid_prices_are_one_line(
    reports: Reports,
    change: dict[str, Any],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = json.loads(TABLE.read_text())
    wrong = copy.deepcopy(content)
    wrong["prices"][1] |= change
    path = reports.folder / "prices.json"
    path.write_text(json.dumps(wrong))
    assert reports.run([a_run("g4")], "--prices", str(path)) == 1
    assert sentence in capsys.readouterr().err


def test_every_price_says_when_and_where_from() -> None:
    prices = read_prices()
    for price in prices:
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", price.seen[0]), price
        assert price.seen[0] <= price.seen[1]
        assert price.source.count("/") >= 2, price
    kinds = [price.kind for price in latest(prices, "inf1.2xlarge")]
    assert kinds == ["on-demand", "reserved, effective"]
    assert set(reference(prices)) == {"soak", "throughput"}


def test_prices_are_looked_up_by_region() -> None:
    """The first region in the table was taken for every region."""
    seen = ("2026-01", "2026-02")
    box = partial(Price, instance="box", kind="on-demand", source="a bill", seen=seen)
    prices = [
        box(usd_per_hour=usd, region=region)
        for usd, region in ((2.0, "eu-west-1"), (1.0, "us-east-1"))
    ]
    assert on_demand(prices, "box", "2026-01-15").usd_per_hour == 1.0
    assert on_demand(prices, "box", "2026-01-15", "eu-west-1").usd_per_hour == 2.0
    with pytest.raises(CommandError, match="in ap-south-1 on 2026-01-15"):
        on_demand(prices, "box", "2026-01-15", "ap-south-1")


@pytest.mark.parametrize(
    ("date", "known"),
    [("2025-12-31", False), ("2026-01-01", True), ("2026-02-28", True), ("2026-03-01", False)],
)
def test_a_month_includes_its_days(date: str, known: bool) -> None:
    """2026-02-28 was after 2026-02, and so had no price."""
    seen = ("2026-01", "2026-02")
    price = Price(
        instance="box",
        kind="on-demand",
        usd_per_hour=1.0,
        region="us-east-1",
        seen=seen,
        source="s",
    )
    if known:
        assert on_demand([price], "box", date) == price
    else:
        with pytest.raises(CommandError):
            on_demand([price], "box", date)
