"""The choice between several models."""

from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.service.web.page import rows, text, upload
from tests.support.fakes.fake_backend import FakeBackend, answer
from tests.support.processes.gateway_process import GatewayProcess, wait_for

CAR = ("car", 6, 0.875, (1.0, 2.0, 30.0, 40.0))
DOG = ("dog", 16, 0.75, (1.0, 2.0, 30.0, 40.0))


def test_the_chosen_model_answers_and_the_first_before(shared: Any, photo: Path) -> None:
    voc = FakeBackend(lambda _: answer([CAR], version=7), version=7)
    with (
        FakeBackend(lambda _: answer([DOG]), others={"voc": voc}) as backend,
        GatewayProcess(backend=backend.target, models="coco,voc") as gateway,
    ):
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        shared.get(gateway.url)
        wait_for(lambda: shared.find_element(By.ID, "model").is_displayed())
        select = Select(shared.find_element(By.ID, "model"))
        assert [option.text for option in select.options] == ["coco", "voc"]
        upload(shared, photo)
        wait_for(lambda: len(rows(shared)) == 1 and "dog" in rows(shared)[0], within_s=20)
        assert "coco, version 3" in text(shared, "timings")
        select.select_by_value("voc")
        wait_for(lambda: "car" in "".join(rows(shared)), within_s=20)
        assert "voc, version 7" in text(shared, "timings")


def test_one_model_needs_no_choice(page: Any) -> None:
    wait_for(lambda: page.find_elements(By.CSS_SELECTOR, "#samples button"))
    assert not page.find_element(By.ID, "model").is_displayed()
