"""POST /detect/batch: order, limits, and a bad picture that affects no other."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.support.callers.http_contract import EXPECTED, LIMIT, form, problem
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

pytestmark = pytest.mark.usefixtures("usual_answers")


def test_a_batch_keeps_its_order_and_a_bad_picture_costs_only_itself(
    gateway: GatewayProcess,
) -> None:
    response = gateway.http.post(
        "/detect/batch", files=form(picture(), b"not a picture", picture(48, 64))
    )
    first, second, third = response.json()["results"]
    assert first == EXPECTED
    assert second["error"]["status"] == 400
    assert second["error"]["request_id"] == response.headers["x-request-id"]
    assert third["image"] == {"width": 48, "height": 64}


def test_a_picture_too_large_costs_only_itself_too(gateway: GatewayProcess) -> None:
    files = form(picture(), picture() + b"x" * LIMIT)
    first, second = gateway.http.post("/detect/batch", files=files).json()["results"]
    assert first == EXPECTED
    assert second["error"]["status"] == 413
    assert f"the limit is {LIMIT}" in second["error"]["detail"]


def test_the_timing_of_a_batch_is_its_longest_not_the_sum(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    backend.delay_s = 0.1
    response = gateway.http.post("/detect/batch", files=form(*[picture()] * 3))
    backend.delay_s = 0
    parts = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert 100 <= float(parts["backend"]) <= float(parts["total"])


def test_the_log_line_of_a_batch_has_the_first_error_and_how_many(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG")

    backend.reply = refuse
    headers = {"x-request-id": "three-bad"}
    files = form(picture(), picture(kind="GIF"), b"junk")
    gateway.http.post("/detect/batch", files=files, headers=headers)

    def lines() -> list[dict[str, Any]]:
        return [line for line in gateway.log("request") if line["request_id"] == "three-bad"]

    wait_for(lines)
    (found,) = lines()
    assert found["failed"] == 3
    assert "damaged" in found["error"]
    assert found["cause"] == "Invalid JPEG"


def test_batch_limits(gateway: GatewayProcess) -> None:
    post = gateway.http.post
    counted = 'detect_rejected_total{reason="too-large"}'
    before = gateway.metric(counted)
    many = problem(post("/detect/batch", files=form(*[picture()] * 4)), 413, "too-large")
    assert gateway.metric(counted) == before + 1  # the upload as one: no picture was looked at
    assert "more than 3 pictures" in many
    heavy = form(*[b"x" * (LIMIT - 10)] * 3)
    assert f"{2 * LIMIT} bytes" in problem(post("/detect/batch", files=heavy), 413, "too-large")
    raw = {"content-type": "image/jpeg"}
    problem(post("/detect/batch", content=picture(), headers=raw), 415, "unsupported-media")
    problem(post("/detect/batch?format=image", files=form(picture())), 422, "bad-parameter")


def test_a_batch_fails_as_a_whole_when_no_picture_could_be_served(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.UNAVAILABLE)

    backend.reply = refuse
    response = gateway.http.post("/detect/batch", files=form(picture(), picture()))
    problem(response, 503, "no-backend")
    assert response.headers["retry-after"] == "1"


def test_two_large_batches_at_once_are_answered_whole() -> None:
    """A batch takes half of the places, and waits outside of the queue."""
    with (
        FakeBackend(delay_s=0.02) as backend,
        GatewayProcess(backend=backend.target, max_in_flight=4, max_queue=4) as gateway,
        ThreadPoolExecutor(2) as callers,
    ):
        batch = form(*[picture()] * 30)
        post = lambda _: gateway.http.post("/detect/batch", files=batch)  # noqa: E731
        for response in callers.map(post, range(2)):
            assert all("detections" in result for result in response.json()["results"])
