"""What a caller gets when the model server fails, is slow or rejects a picture."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from service.backend import messages as m
from tests.support.callers.http_contract import EXPECTED, form, problem
from tests.support.fakes.fake_backend import CAT, DOG, MOUSE, FakeBackend, Refuse, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

pytestmark = pytest.mark.usefixtures("usual_answers")


def test_an_intact_picture_that_the_model_server_always_rejects(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "{{node map/while/DecodeJpeg}} Invalid JPEG")

    backend.reply = refuse
    detail = problem(gateway.http.post("/detect", files=form(picture())), 503, "backend-failed")
    assert "not damaged" in detail
    assert "node" not in detail
    assert len(backend.pictures) == 4  # twice as uploaded, then twice encoded again
    wait_for(lambda: "DecodeJpeg" in gateway.log("request")[-1].get("cause", ""))


def test_an_intact_picture_rejected_for_its_neighbour_is_sent_again_apart_from_others(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        if len(backend.pictures) == 1:
            raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG data or crop window")
        return answer([DOG, CAT, MOUSE])

    before = gateway.metric("detect_suspected_total")
    backend.pictures.clear()
    backend.filters.clear()
    backend.reply = refuse
    assert gateway.http.post("/detect", files=form(picture())).json() == EXPECTED
    assert backend.pictures == [picture()] * 2  # decoded here, but sent as it was uploaded
    assert backend.filters == [[], ["boxes", "scores", "classes", "labels"]]
    assert gateway.metric("detect_suspected_total") == before + 1


def test_a_damaged_picture_is_not_sent_again(gateway: GatewayProcess, backend: FakeBackend) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG data or crop window")

    backend.pictures.clear()
    backend.reply = refuse
    cut_short = picture(640, 480, quality=95)[:-700]
    problem(gateway.http.post("/detect", files=form(cut_short)), 400, "bad-picture")
    assert backend.pictures == [cut_short]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503, "no-backend"),
        (grpc.StatusCode.NOT_FOUND, 503, "no-backend"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503, "full"),
        (grpc.StatusCode.INTERNAL, 503, "backend-failed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "deadline-exceeded"),
    ],
)
def test_failures_of_the_model_server(
    gateway: GatewayProcess, backend: FakeBackend, code: grpc.StatusCode, status: int, kind: str
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(code, "secret words")

    backend.reply = refuse
    before = gateway.metric(f'detect_rejected_total{{reason="{kind}"}}')
    response = gateway.http.post("/detect", files=form(picture()))
    assert "secret" not in problem(response, status, kind)
    assert ("retry-after" in response.headers) == (status == 503)
    assert gateway.metric(f'detect_rejected_total{{reason="{kind}"}}') == before + 1


def test_readiness_follows_the_model_and_liveness_does_not(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    model = {"name": "yolov4", "version": 3}
    assert gateway.http.get("/readyz").json() == {"model": model, "models": [model]}
    wait_for(lambda: gateway.metric("detect_backend_ready") == 1)
    backend.state = m.ModelVersionStatus.LOADING
    assert "3: LOADING" in problem(gateway.http.get("/readyz"), 503, "no-backend")
    wait_for(lambda: gateway.metric("detect_backend_ready") == 0)
    assert gateway.http.get("/livez").status_code == 200
    backend.state = m.ModelVersionStatus.AVAILABLE
    wait_for(lambda: gateway.metric("detect_backend_ready") == 1)
    assert gateway.metric('detect_model_info{name="yolov4",version="3"}') == 1


def test_requests_beyond_the_queue_are_rejected_and_the_others_answered() -> None:
    with (
        FakeBackend(delay_s=0.3) as slow,
        GatewayProcess(backend=slow.target, max_in_flight=1, max_queue=1) as gateway,
        ThreadPoolExecutor(4) as callers,
    ):
        post = lambda _: gateway.http.post("/detect", files=form(picture()))  # noqa: E731
        responses = list(callers.map(post, range(4)))
        assert sorted(r.status_code for r in responses) == [200, 200, 503, 503]
        refused = next(r for r in responses if r.status_code == 503)
        problem(refused, 503, "full")
        assert refused.headers["retry-after"] == "1"
        assert gateway.metric('detect_rejected_total{reason="full"}') == 2
        assert gateway.metric("detect_in_flight") == 0
        assert gateway.metric("detect_queue_length") == 0


def test_decoding_in_the_gateway_counts_towards_the_deadline() -> None:
    slow = picture(4500, 4500, "WEBP", quality=50)
    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, max_in_flight=1, deadline_s=0.2) as gateway,
        ThreadPoolExecutor(6) as callers,
    ):

        def post(_: int) -> tuple[httpx.Response, float]:
            started = time.perf_counter()
            response = gateway.http.post("/detect", files=form(slow))
            return response, time.perf_counter() - started

        for response, seconds in callers.map(post, range(6)):
            detail = problem(response, 504, "deadline-exceeded")
            assert "-" not in detail
            assert seconds < 5  # one after the other they would take that


def test_queueing_counts_towards_the_deadline() -> None:
    with (
        FakeBackend(delay_s=1) as slow,
        GatewayProcess(backend=slow.target, max_in_flight=1, deadline_s=0.4) as gateway,
        ThreadPoolExecutor(2) as callers,
    ):
        post = lambda _: gateway.http.post("/detect", files=form(picture()))  # noqa: E731
        for response in callers.map(post, range(2)):
            problem(response, 504, "deadline-exceeded")
