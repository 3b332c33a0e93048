"""A gateway with small limits before a fake backend, one pair for each test file."""

from collections.abc import Iterator

import pytest
from schemathesis.pytest.plugin import SchemathesisFunction

from service.backend import messages as m
from tests.support.callers.http_contract import LIMIT
from tests.support.fakes.fake_backend import CAT, DOG, MOUSE, FakeBackend, answer
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target,
        max_upload_bytes=LIMIT,
        max_batch_bytes=2 * LIMIT,
        max_batch_pictures=3,
        max_pixels=1_000_000,
        ready_interval_s=0.05,
    ) as process:
        yield process


@pytest.fixture
def usual_answers(backend: FakeBackend) -> Iterator[None]:
    yield
    backend.reply = lambda _: answer([DOG, CAT, MOUSE])
    backend.state = m.ModelVersionStatus.AVAILABLE
    backend.pictures.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each call of a contract test an identifier of its own, which schemathesis leaves alike:
    in several processes, tests of one identifier count as one."""
    for item in items:
        if isinstance(item, SchemathesisFunction) and item.parent is not None:
            item._id = item.parent.id.child(item.name)
