"""Buckets with pictures, and a service."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.bucket import buckets
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="package")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(class_names=("person", "bicycle")) as backend:
        yield backend


@pytest.fixture(scope="package")
def url(backend: FakeBackend) -> Iterator[str]:
    with GatewayProcess(backend=backend.target) as gateway:
        yield gateway.url


@pytest.fixture(scope="package")
def aws() -> Iterator[tuple[Any, dict[str, str]]]:
    with buckets("pics", "out") as found:
        yield found


@pytest.fixture
def s3(aws: tuple[Any, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """boto3's client of the buckets `pics` and `out`, which the environment names too."""
    for name, value in aws[1].items():
        monkeypatch.setenv(name, value)
    return aws[0]
