"""The service that the clients use, with the official model behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.inputs.official import COFFEE, NAME
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="session")
def model() -> str:
    return NAME


@pytest.fixture(scope="session")
def gateway(
    coco_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    # TensorFlow before tensorflow_serving: its messages cannot be the first to import it.
    import tensorflow  # noqa: F401

    from tests.support.processes.whole_service import whole_service

    with whole_service(tmp_path_factory.mktemp("service"), coco_repository, NAME) as (gateway, _):
        yield gateway


@pytest.fixture(scope="session")
def photo() -> Path:
    return COFFEE
