"""The page's table at the widths of a phone, a narrow window and a desktop."""

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.support.fakes.fake_backend import FakeBackend, Row, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.browser import browser
from tests.support.processes.gateway_process import GatewayProcess, wait_for

ROWS: list[Row] = [
    ("person", 0, 0.9, (1040.0, 1030.0, 1200.0, 1220.0)),
    ("x" * 60, 7, 0.4, (10.0, 10.0, 60.0, 60.0)),
]
SWATCH_AND_LABEL = """
const cell = document.querySelector("#rows td"), label = document.createRange();
label.selectNodeContents(cell.lastChild);
const swatch = cell.querySelector(".swatch").getBoundingClientRect();
return [...label.getClientRects()].map(
  (line) => line.top < swatch.top && swatch.bottom < line.bottom && swatch.right < line.left);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page, after a picture with a common and a very long label was detected."""
    photo = tmp_path_factory.mktemp("photo") / "photo.jpg"
    photo.write_bytes(picture(1280, 1280))
    with (
        FakeBackend(lambda _: answer(ROWS)) as backend,
        GatewayProcess(backend=backend.target) as gateway,
        browser(tmp_path_factory.mktemp("profile")) as chrome,
    ):
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        chrome.get(gateway.url)
        chrome.find_element(By.ID, "file").send_keys(str(photo))
        wait_for(lambda: len(chrome.find_elements(By.CSS_SELECTOR, "#rows tr")) == 2)
        yield chrome


@pytest.mark.parametrize("width", [360, 390, 860, 1280])
def test_a_label_stands_beside_its_colour_and_nothing_overflows(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.execute_script("return innerWidth") == width
    assert page.execute_script(SWATCH_AND_LABEL) == [True]
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    panel, table = (page.find_element(By.CSS_SELECTOR, name) for name in ("#panel", "table"))
    assert table.rect["x"] + table.rect["width"] < panel.rect["x"] + panel.rect["width"]
