"""Traces as a collector gets them: one from the caller to Predict, and what links to it."""

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from tests.support.callers.raw_http import connect, get
from tests.support.fakes.collector import Collector, attributes
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
PREDICT = "tensorflow.serving.PredictionService/Predict"
SERVER, CLIENT, ERROR = 2, 3, 2  # SpanKind, StatusCode
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield collector


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(delay_s=0.02) as fake:
        yield fake


@pytest.fixture(scope="module")
def traced(collector: Collector, backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target, tracing="on", max_in_flight=1, models="yolov4,voc"
    ) as gateway:
        yield gateway


@pytest.fixture
def gateway(traced: GatewayProcess, collector: Collector, backend: FakeBackend) -> GatewayProcess:
    collector.spans.clear()
    backend.metadata.clear()
    return traced


def detect(gateway: GatewayProcess, path: str = "/detect", **headers: str) -> httpx.Response:
    headers["Content-Type"] = "image/jpeg"
    return gateway.http.post(path, content=picture(), headers=headers)


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


def test_log_line_and_exemplar_carry_the_ids(gateway: GatewayProcess, collector: Collector) -> None:
    response = detect(gateway)
    server, _ = collector.wait(2)
    ids = {"trace_id": server.trace_id.hex(), "span_id": server.span_id.hex()}
    line = gateway.log("request")[-1]
    assert line["request_id"] == response.headers["X-Request-ID"]
    assert {name: line[name] for name in ids} == ids

    metrics = gateway.http.get("/metrics", headers=OPENMETRICS)
    assert metrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert metrics.text.endswith("# EOF\n")
    linked = [text for text in metrics.text.splitlines() if ids["trace_id"] in text]
    assert {text.partition("{")[0] for text in linked} == {
        "detect_request_duration_seconds_bucket",
        "detect_backend_duration_seconds_bucket",
    }
    assert all(ids["span_id"] in text for text in linked)
    plain = gateway.http.get("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain")
    assert ids["trace_id"] not in plain.text


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


def test_what_the_caller_does_not_sample_is_passed_on_and_logged_only(
    gateway: GatewayProcess, collector: Collector, backend: FakeBackend
) -> None:
    unsampled = "1" * 32
    detect(gateway, traceparent=f"00-{unsampled}-{CALLER}-00")
    detect(gateway)
    collector.wait(2)
    assert unsampled not in {span.trace_id.hex() for span in collector.spans}
    version, trace_id, span_id, flags = backend.metadata[0]["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", unsampled, "00")
    assert span_id != CALLER
    line = gateway.log("request")[-2]
    assert (line["trace_id"], line["trace_flags"]) == (unsampled, "00")
    assert unsampled not in gateway.http.get("/metrics", headers=OPENMETRICS).text


def test_pipelined_requests_have_traces_of_their_own(
    gateway: GatewayProcess, collector: Collector
) -> None:
    first, second = get("/model", f"traceparent: 00-{TRACE}-{CALLER}-01"), get("/models")
    with connect(gateway) as client:
        client.sendall(first + second + get("/livez", "Connection: close"))
        while client.recv(1 << 16):
            pass
    one, another = collector.wait(2)
    assert (one.name, one.trace_id.hex()) == ("GET /model", TRACE)
    assert (another.name, another.parent_span_id) == ("GET /models", b"")
    assert another.trace_id.hex() != TRACE


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-zz-1-01"},
        {"traceparent": "x" * 9000},
        {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=" + "é" * 600},
        {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "k=v," * 2000},
        {"traceparent": f"00-{TRACE}-{CALLER}-01", "baggage": "k=" + "v" * 8000},
    ],
    ids=["malformed", "long", "not ASCII", "many entries", "baggage"],
)
def test_hostile_trace_headers_cost_only_the_link(
    gateway: GatewayProcess, collector: Collector, backend: FakeBackend, headers: dict[str, str]
) -> None:
    headers |= {"Content-Type": "image/jpeg"}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    response = gateway.http.post("/detect", content=picture(), headers=encoded)
    assert response.status_code == 200
    server, predict = collector.wait(2)
    assert predict.trace_id == server.trace_id
    [metadata] = backend.metadata
    assert metadata["traceparent"].split("-")[1] == server.trace_id.hex()
    assert "baggage" not in metadata
    assert len(metadata.get("tracestate", "")) <= 512


def test_off_by_default(backend: FakeBackend) -> None:
    backend.metadata.clear()
    with GatewayProcess(backend=backend.target) as gateway:
        assert detect(gateway, **SAMPLED).status_code == 200
        assert "trace_id" not in gateway.log("request")[-1]
        assert TRACE not in gateway.http.get("/metrics", headers=OPENMETRICS).text
    assert "traceparent" not in backend.metadata[-1]
    code = "import sys, service.__main__; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_text_log(collector: Collector, backend: FakeBackend) -> None:
    """Also what libraries log during a request."""
    code = (
        "import logging; from service.core import logs, tracing\n"
        "logs.configure('info', 'text'); tracing.start()\n"
        "scope = {'path': '/detect', 'method': 'POST', 'scheme': 'http', 'http_version': '1.1',"
        f" 'headers': [(b'traceparent', b'00-{TRACE}-{CALLER}-00')]}}\n"
        "logs.request_id.set('r-1'); tracing.start_request(scope, 'r-1')\n"
        "logging.getLogger('library').warning('words')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    line = done.stderr.splitlines()[-1]
    assert f"words request_id=r-1 trace_id={TRACE} span_id=" in line
    assert line.endswith(" trace_flags=00")
