"""A failed request leaves no reference cycle, which would keep its pictures in memory."""

import asyncio
import base64
import gc
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc
import httpx
import pytest

from service.api.app import create_app
from service.core.errors import DetectError
from service.core.lifecycle import Lifecycle
from service.core.metrics import Metrics
from service.settings import Settings
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture

GOOD, BAD = picture(), b"no picture"


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()  # the gateway freezes
        gc.set_threshold(*thresholds)
        gc.enable()


def rows(*pictures: bytes) -> dict[str, Any]:
    return {"json": {"instances": [{"b64": base64.b64encode(one).decode()} for one in pictures]}}


def parts(*pictures: bytes) -> dict[str, Any]:
    return {"files": [("image", one) for one in pictures]}


@pytest.mark.parametrize(
    ("path", "body", "available", "status"),
    [
        ("/invocations", rows(BAD, BAD), True, 400),
        ("/invocations", rows(GOOD, BAD), False, 503),
        ("/detect/batch", parts(BAD, BAD), True, 200),
        ("/detect/batch", parts(GOOD, GOOD), False, 503),
        ("/detect", {"content": BAD, "headers": {"Content-Type": "image/jpeg"}}, True, 400),
        ("/detect", {"content": GOOD, "headers": {"Content-Type": "image/jpeg"}}, False, 503),
    ],
)
def test_a_failed_request_leaves_nothing_behind(
    path: str, body: dict[str, Any], available: bool, status: int
) -> None:
    async def ask(target: str) -> tuple[int, list[DetectError]]:
        app = create_app(Settings(backend=target), Metrics(), Lifecycle())
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://gateway"
            ) as client,
        ):
            status = (await client.post(path, **body)).status_code
            await asyncio.sleep(0.1)  # until the request's own task is over
            return status, [one for one in gc.get_objects() if issubclass(type(one), DetectError)]

    def refuse(_: object) -> NoReturn:
        raise Refuse(grpc.StatusCode.INTERNAL)

    with FakeBackend() if available else FakeBackend(reply=refuse) as backend:
        assert asyncio.run(ask(backend.target)) == (status, [])
