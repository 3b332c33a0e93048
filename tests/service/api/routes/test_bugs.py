"""An unexpected failure of the gateway: 500 and counted, and in a batch one picture's own error."""

import asyncio
import json
from typing import Any, cast

import httpx
import pytest

from service.api import problems, routes, routing
from service.api.app import create_app
from service.core import logs
from service.core.lifecycle import Lifecycle
from service.core.metrics import Metrics
from service.detection.canary import Versions
from service.detection.detector import Detectors
from service.detection.models import ModelInfo, Result
from service.settings import Settings

GOOD, BAD = b"good picture", b"picture that meets a bug"


class Detector:
    name = "voc"
    shadow = None
    versions = Versions("voc", cast(Any, None), Metrics())

    def models(self) -> list[ModelInfo]:
        return []

    async def detect(self, data: bytes, *_: object) -> Result:
        if data == BAD:
            raise ZeroDivisionError("secret words")
        return Result(self.name, 1, 4, 3, [])


def post(path: str, *pictures: bytes) -> tuple[httpx.Response, Metrics]:
    metrics = Metrics()
    app = create_app(Settings(), metrics, Lifecycle())
    app.state.gateway.detectors = Detectors([cast(Any, Detector())])

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post(path, files=[("image", data) for data in pictures])

    return asyncio.run(request()), metrics


def counts(metrics: Metrics) -> tuple[Any, Any]:
    get = metrics.registry.get_sample_value
    rejected = get("detect_rejected_total", {"model": "voc", "reason": "internal-error"})
    return get(
        "detect_images_total", {"model": "voc", "track": "stable", "version": "1"}
    ) or 0, rejected


def test_one_picture_of_a_batch_has_its_own_error(capfd: pytest.CaptureFixture[str]) -> None:
    response, metrics = post("/detect/batch", GOOD, BAD, GOOD)
    assert response.status_code == 200
    first, second, third = response.json()["results"]
    assert first["image"] == third["image"] == {"width": 4, "height": 3}
    error = second["error"]
    assert (error["type"], error["status"]) == ("urn:problem:internal-error", 500)
    assert error["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    assert counts(metrics) == (2, 1)
    assert logs.flush()
    lines = map(json.loads, capfd.readouterr().err.splitlines())
    (line,) = (line for line in lines if line["event"] == "picture failed")
    assert line["request_id"] == error["request_id"]
    assert "ZeroDivisionError: secret words" in line["traceback"]


@pytest.mark.parametrize(("path", "pictures"), [("/detect", [BAD]), ("/detect/batch", [BAD, BAD])])
def test_with_no_picture_answered_the_request_fails(
    path: str, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[BaseException] = []
    reason = problems.reason

    def spy(error: BaseException) -> str:
        raised.append(error)
        return reason(error)

    for module in (problems, routing, routes):
        monkeypatch.setattr(module, "reason", spy, raising=False)
    response, metrics = post(path, *pictures)
    assert {str(error) for error in raised} == {"secret words"}
    assert response.status_code == 500
    assert response.json()["type"] == "urn:problem:internal-error"
    assert counts(metrics) == (0, len(pictures))
