"""A browser showing the gateway's page, and a fake model server behind it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.web.page import ROWS
from tests.support.fakes.fake_backend import FakeBackend, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.browser import browser
from tests.support.processes.gateway_process import GatewayProcess, wait_for


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(lambda _: answer(ROWS)) as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        yield gateway


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture
def page(shared: Any, gateway: GatewayProcess) -> Iterator[Any]:
    shared.get(gateway.url)
    yield shared
    severe = [e for e in shared.get_log("browser") if "Content Security Policy" in e["message"]]
    assert not severe


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo's.jpg"
    path.write_bytes(picture(320, 240))
    return path
