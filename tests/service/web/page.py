"""What a test reads from the page, and does on it."""

from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By

from tests.support.fakes.fake_backend import Row

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


ROWS: list[Row] = [
    ("person", 0, 0.9, (40.0, 30.0, 200.0, 220.0)),
    ("person", 0, 0.6, (220.0, 40.0, 300.0, 200.0)),
    (HOSTILE, 7, 0.4, (10.0, 10.0, 60.0, 60.0)),
    ("mouse", 64, 0.1, (1.0, 1.0, 9.0, 9.0)),
]


def upload(page: Any, path: Path) -> None:
    page.find_element(By.ID, "file").send_keys(str(path))


def boxes(page: Any) -> int:
    return len(page.find_elements(By.CSS_SELECTOR, "#overlay rect"))


def rows(page: Any) -> list[str]:
    return [row.text for row in page.find_elements(By.CSS_SELECTOR, "#rows tr")]


def text(page: Any, name: str) -> str:
    return str(page.find_element(By.ID, name).text)


def set_threshold(page: Any, value: float) -> None:
    page.execute_script(
        "const s = document.getElementById('threshold'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input'))",
        value,
    )
