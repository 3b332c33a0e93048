"""The page about a training run: what it says, and that it needs no other file."""

import re
import xml.etree.ElementTree as ElementTree

from yolov4.train.checkpoint import History, Validated
from yolov4.train.report import page


def history() -> History:
    classes = {"a<b>": (0.25, 0.5), "rare": (None, None)}
    return History(
        [(10, 2.0, 4.0, 8.0), (20, 1.0, 2.0, 4.0)],
        [Validated(*row, classes) for row in ((0, 0.0, 0.0), (10, 0.3, 0.6), (20, 0.2, 0.7))],
    )


def test_the_page_names_the_best_step_and_every_class() -> None:
    text = page("my <model>", 20, history(), {"a<b>": 1200, "rare": 0}, {"a<b>": 30})
    assert "20 of 20 steps. The weights written are those after step 10" in text
    assert "0.300 (AP50 0.600)" in text
    assert "my &lt;model&gt;" in text
    assert "<td>a&lt;b&gt;</td><td>1,200</td><td>30</td><td>0.250</td><td>0.500</td>" in text
    none = '<td class="none">none</td>'
    assert f"<td>rare</td>{none}{none}<td>-</td><td>-</td>" in text


def test_curves_are_drawn_to_scale() -> None:
    text = page("m", 20, history(), {}, {})
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text)]
    assert len(charts) == 2
    ap50, ap = [path.get("d") or "" for path in charts[0].iter("path") if path.get("stroke")]
    assert ap.startswith("M48.0 212.0L")  # step 0, AP 0
    x, y = map(float, ap50[1:].split("L")[-1].split())
    assert (x, round(y, 1)) == (632.0, 212 - 0.7 * 188)  # step 20, AP50 0.7
    assert len([path for path in charts[1].iter("path") if path.get("stroke")]) == 3


def test_the_page_is_self_contained() -> None:
    assert not re.search(r"(src|href)=|url\(|@import", page("m", 20, history(), {"a": 1}, {}))


def test_without_validation_the_page_has_the_losses_alone() -> None:
    text = page("m", 20, History([(1, 1.0, 1.0, 1.0)]), {"a": 1}, {})
    assert "AP on the validation" not in text
    assert text.count("<svg") == 1
