"""What a gateway shows to Prometheus."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from grpc import StatusCode
from PIL import Image

from service.detection.canary import position
from tests.support.fakes.fake_backend import DOG, FakeBackend, Refuse, answer
from tests.support.processes.gateway_process import GatewayProcess, wait_for

# Request ids, by the track that they get.
CALLERS = {
    "canary" if position("", "yolov4", "2", name) < 50 else "stable": name for name in "abcdefgh"
}


def usual(_: bytes) -> Any:
    return answer([DOG])


@pytest.fixture(scope="module")
def scrape() -> Iterator[str]:
    """/metrics of a gateway that answered, rejected and failed requests, with a canary and a
    shadow version included."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 48)).save(picture, "JPEG")
    with (
        FakeBackend(versions={1: usual, 2: usual}) as backend,
        GatewayProcess(
            backend=backend.target,
            max_in_flight=1,
            max_queue=0,
            model_version="1",
            canary="2:50",
            shadow="2:100",
        ) as gateway,
        ThreadPoolExecutor() as callers,
    ):

        def post(content: bytes, caller: str = "stable") -> int:
            headers = {"Content-Type": "image/jpeg", "X-Request-ID": CALLERS[caller]}
            return gateway.http.post("/detect", content=content, headers=headers).status_code

        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        wait_for(lambda: gateway.metric("detect_backend_ready") == 3)
        assert post(picture.getvalue()) == 200
        assert post(picture.getvalue(), "canary") == 200
        wait_for(lambda: gateway.metric('detect_shadow_images_total{outcome="compared"}') == 1)
        assert post(b"no picture") == 400
        backend.delay_s = 0.5
        assert sorted(callers.map(post, [picture.getvalue()] * 2)) == [200, 503]
        backend.versions = {1: _fail, 2: _fail}
        assert post(picture.getvalue(), "canary") == 503
        assert post(picture.getvalue()) == 503
        yield gateway.http.get("/metrics").text


def _fail(_: bytes) -> None:
    raise Refuse(StatusCode.INTERNAL)
