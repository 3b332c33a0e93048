"""Calls of the model servers' client, and the metrics they leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from service.backend.client import TFServing
from service.core.metrics import Metrics
from service.settings import Settings
from tests.support.fakes.fake_backend import Refuse

RETRIES = "detect_backend_retries_total"
MODEL = {"model": "yolov4"}
STABLE = {**MODEL, "track": "stable"}


def call(
    backend: str, use: Callable[[TFServing], Awaitable[Any]], **settings: Any
) -> tuple[Any, CollectorRegistry]:
    metrics = Metrics()

    async def run() -> Any:
        serving = TFServing("yolov4", Settings(backend=backend, **settings), metrics)
        try:
            return await use(serving)
        finally:
            await serving.close()

    return asyncio.run(run()), metrics.registry


def refuses(code: grpc.StatusCode, words: str = "words of the backend") -> Callable[[bytes], Any]:
    def reply(_: bytes) -> Any:
        raise Refuse(code, words)

    return reply


async def twice(serving: TFServing) -> None:
    await serving.predict(b"", 5)
    await serving.predict(b"", 5)
