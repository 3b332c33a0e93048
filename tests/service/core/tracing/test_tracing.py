"""Traces as a collector gets them: one from the caller to Predict."""

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.service.core.tracing.calls import CALLER, PREDICT, SAMPLED, TRACE, detect
from tests.support.fakes.collector import Collector, attributes
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

SERVER, CLIENT, ERROR = 2, 3, 2  # SpanKind, StatusCode


def test_one_trace_from_the_caller_to_the_model_server(
    gateway: GatewayProcess, collector: Collector, backend: FakeBackend
) -> None:
    response = detect(gateway, "/detect?score_threshold=0.5", **SAMPLED, tracestate="vendor=1")
    server, predict = collector.wait(2)

    assert (server.name, server.kind) == ("POST /detect", SERVER)
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, CALLER)
    assert attributes(server) == {
        "http.request.method": "POST",
        "http.route": "/detect",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/detect",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": gateway.http.headers["User-Agent"],
        "detect.request_id": response.headers["X-Request-ID"],
    }
    assert (predict.name, predict.kind, predict.trace_id) == (PREDICT, CLIENT, server.trace_id)
    assert predict.parent_span_id == server.span_id
    assert attributes(predict) == {
        "rpc.system.name": "grpc",
        "rpc.method": PREDICT,
        "rpc.response.status_code": "OK",
        "server.address": "127.0.0.1",
        "server.port": backend.port,
        "detect.model.name": "yolov4",
        "detect.model.version": 3,
    }
    assert server.start_time_unix_nano <= predict.start_time_unix_nano
    assert predict.end_time_unix_nano <= server.end_time_unix_nano
    assert predict.end_time_unix_nano - predict.start_time_unix_nano >= 20e6

    [metadata] = backend.metadata
    assert metadata["traceparent"][:52] == f"00-{TRACE}-{predict.span_id.hex()}"
    assert metadata["tracestate"] == "vendor=1"
    assert collector.resource["service.name"] == "detect-gateway"


def test_waiting_and_drawing_have_spans(gateway: GatewayProcess, collector: Collector) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: detect(gateway, "/detect?format=image"), range(2)))
    spans = collector.wait(7, parts=True)
    [queue] = [span for span in spans if span.name == "queue"]
    [server] = [span for span in spans if span.span_id == queue.parent_span_id]
    [predict] = [s for s in spans if s.parent_span_id == server.span_id and s.name == PREDICT]
    assert queue.end_time_unix_nano - queue.start_time_unix_nano >= 10e6
    # The part was measured by another clock.
    assert abs(queue.end_time_unix_nano - predict.start_time_unix_nano) < 5e6
    drawn = [span for span in spans if span.name == "draw"]
    assert {span.parent_span_id for span in drawn} == {s.span_id for s in spans if s.kind == SERVER}
    assert "backend" not in {span.name for span in spans}


def _json(content: dict[str, Any]) -> dict[str, Any]:
    return {"json": content}


ENCODED = b64encode(picture()).decode()


@pytest.mark.parametrize(
    ("path", "route", "upload", "model"),
    [
        ("/models/voc/detect", "/models/{name}/detect", {"files": {"image": picture()}}, "voc"),
        ("/detect", "/detect", _json({"detector_name": "default", "data": ENCODED}), "yolov4"),
        ("/v1/vision/detection", "/v1/vision/detection", {"files": {"image": picture()}}, "yolov4"),
        ("/invocations", "/invocations", _json({"instances": [{"b64": ENCODED}]}), "yolov4"),
        (
            "/v1/models/voc:predict",
            "/v1/models/{model}:predict",
            _json({"instances": [{"b64": ENCODED}]}),
            "voc",
        ),
        (
            "/v2/models/yolov4/infer",
            "/v2/models/{model}/infer",
            _json(
                {
                    "inputs": [
                        {"name": "image", "datatype": "BYTES", "shape": [1], "data": [ENCODED]}
                    ]
                }
            ),
            "yolov4",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_dialects_and_models(
    gateway: GatewayProcess,
    collector: Collector,
    path: str,
    route: str,
    upload: dict[str, Any],
    model: str,
) -> None:
    response = gateway.http.post(path, **upload)
    assert response.status_code == 200, response.text
    server, predict = collector.wait(2)
    assert (server.name, attributes(server)["http.route"]) == (f"POST {route}", route)
    assert attributes(predict)["detect.model.name"] == model


def test_each_picture_of_a_batch_has_its_calls_in_the_trace_of_the_request(
    gateway: GatewayProcess, collector: Collector
) -> None:
    files = [("image", picture()), ("image", b"no picture"), ("image", picture())]
    assert gateway.http.post("/detect/batch", files=files, headers=SAMPLED).status_code == 200
    spans = collector.wait(3)
    server = spans[0]
    assert (server.name, server.status.code) == ("POST /detect/batch", 0)
    calls = [span for span in spans if span.name == PREDICT]
    assert len(calls) == 2
    assert {span.parent_span_id for span in calls} == {server.span_id}
    assert {span.trace_id.hex() for span in spans} == {TRACE}


def test_retries_are_spans_of_their_own(collector: Collector) -> None:
    collector.spans.clear()
    with GatewayProcess(backend="127.0.0.1:1", tracing="on") as gateway:
        assert detect(gateway).status_code == 503
        server, *calls = collector.wait(3)
    assert (server.status.code, attributes(server)["error.type"]) == (ERROR, "no-backend")
    assert [call.name for call in calls] == [PREDICT, PREDICT]
    for call in calls:
        assert (call.status.code, call.parent_span_id) == (ERROR, server.span_id)
        assert attributes(call)["rpc.response.status_code"] == "UNAVAILABLE"
        assert attributes(call)["error.type"] == "UNAVAILABLE"


def test_the_clients_errors_are_not_the_servers(
    gateway: GatewayProcess, collector: Collector, backend: FakeBackend
) -> None:
    gateway.http.get("/nothing?api_key=secret")
    assert gateway.http.request("PROPFIND", "/detect").status_code == 405
    unmatched, unknown = collector.wait(2)
    assert (unmatched.name, unmatched.status.code) == ("GET", 0)
    assert "http.route" not in attributes(unmatched)
    assert "secret" not in str(unmatched)  # some dialects carry their key there
    assert attributes(unknown)["http.request.method"] == "_OTHER"
    assert attributes(unknown)["http.response.status_code"] == 405
    assert "error.type" not in attributes(unmatched)


def test_a_refusal_of_the_model_server(
    gateway: GatewayProcess, collector: Collector, backend: FakeBackend
) -> None:
    usual = backend.reply

    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INTERNAL)

    backend.reply = refuse
    try:
        assert detect(gateway).status_code == 503
    finally:
        backend.reply = usual
    server, predict = collector.wait(2)
    assert attributes(server)["error.type"] == "backend-failed"
    assert attributes(predict)["rpc.response.status_code"] == "INTERNAL"


def test_probes_are_not_traced(gateway: GatewayProcess, collector: Collector) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/ping", "/v2/health/ready", "/model"):
        gateway.http.get(path, headers=SAMPLED)
    assert [span.name for span in collector.wait(1)] == ["GET /model"]
