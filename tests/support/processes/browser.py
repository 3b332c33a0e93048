"""A real browser: Chromium without a window, through ChromeDriver. Debian: chromium-driver."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--headless=new"]
QUIET += ["--disable-dev-shm-usage", "--hide-scrollbars"]


@contextmanager
def browser(profile: Path, *arguments: str, size: tuple[int, int] = (1280, 900)) -> Iterator[Any]:
    """A new browser with a profile of its own, or a skipped test where none is installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    options = Options()
    options.binary_location = chromium
    for argument in (*QUIET, f"--user-data-dir={profile}", *arguments):
        options.add_argument(argument)
    options.add_argument(f"--window-size={size[0]},{size[1]}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def write_y4m(path: Path, frames: int, width: int = 320, height: int = 240) -> None:
    """A grey square that moves over black, ten frames a second, for Chromium's fake camera."""
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420jpeg\n" % (width, height))
        for number in range(frames):
            luma = bytearray(width * height)
            left = (number * 8) % (width - 64)
            for y in range(80, 144):
                luma[y * width + left : y * width + left + 64] = b"\xc8" * 64
            file.write(b"FRAME\n" + bytes(luma) + b"\x80" * (width * height // 2))
