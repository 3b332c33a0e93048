"""The page by keyboard, accessible names, and the API key field."""

import hashlib
from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.service.web.page import boxes, text, upload
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.gateway_process import GatewayProcess, wait_for


def test_everything_by_keyboard(page: Any) -> None:
    wait_for(lambda: page.find_elements(By.CSS_SELECTOR, "#samples button"))

    def focused() -> Any:
        return page.switch_to.active_element

    def tab_to(condition: Any) -> Any:
        for _ in range(30):
            focused().send_keys(Keys.TAB)
            if condition(focused()):
                return focused()
        raise AssertionError("never focused")

    page.find_element(By.TAG_NAME, "body").click()
    tab_to(lambda e: e.find_elements(By.TAG_NAME, "img")).send_keys(Keys.ENTER)
    wait_for(lambda: boxes(page) == 3)
    tab_to(lambda e: e.get_attribute("id") == "threshold").send_keys(Keys.ARROW_RIGHT * 30)
    assert text(page, "threshold-value") == "0.55"
    assert boxes(page) == 2
    tab_to(lambda e: e.get_attribute("value") == "person").send_keys(Keys.SPACE)
    assert boxes(page) == 0
    assert focused().get_attribute("value") == "person"  # the focus survives the redraw
    focused().send_keys(Keys.SPACE)
    tab_to(lambda e: e.tag_name == "tr")
    assert len(page.find_elements(By.CSS_SELECTOR, "#overlay g.lit")) == 1


def test_every_control_has_a_name(page: Any, photo: Path) -> None:
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    for control in page.find_elements(By.CSS_SELECTOR, "button, input, select, [role=group]"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")


def test_a_key_is_asked_for_and_remembered_for_the_session(
    shared: Any, backend: FakeBackend, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"me {hashlib.sha256(b'secret').hexdigest()}\n")
    with GatewayProcess(backend=backend.target, api_keys_file=tmp_path / "keys") as gateway:
        shared.get(gateway.url)
        upload(shared, photo)
        field = shared.find_element(By.ID, "key")
        wait_for(field.is_displayed)
        field.send_keys("wrong" + Keys.ENTER)
        wait_for(lambda: "Unknown API key" in text(shared, "problem"))
        field.send_keys("secret" + Keys.ENTER)
        wait_for(lambda: boxes(shared) == 3)
        shared.refresh()
        upload(shared, photo)
        wait_for(lambda: boxes(shared) == 3)
