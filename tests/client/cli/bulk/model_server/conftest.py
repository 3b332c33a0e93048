"""A model server, and a client that is straight at it."""

from collections.abc import Iterator

import pytest

from tests.support.fakes.fake_backend import FakeBackend


@pytest.fixture
def server() -> Iterator[FakeBackend]:
    with FakeBackend(class_names=("dog", "cat", "mouse")) as server:
        yield server
