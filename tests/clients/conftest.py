"""The service that the clients use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for


@pytest.fixture(scope="session")
def model() -> str:
    return "yolov4"


@pytest.fixture(scope="session")
def gateway() -> Iterator[GatewayProcess]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        yield gateway


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    path.write_bytes(picture())
    return path
