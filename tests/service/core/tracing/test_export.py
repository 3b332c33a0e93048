"""Exporting traces: protocols, a collector that is away or hangs, OpenTelemetry's variables."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from service.core.tracing.export import SLOW_S, WatchedExporter
from tests.support.fakes.collector import Collector, attributes
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT, free_port

REQUESTS = 200


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


def detect(gateway: GatewayProcess) -> httpx.Response:
    return gateway.http.post("/detect", content=picture(), headers={"Content-Type": "image/jpeg"})


def start(**environment: str) -> "subprocess.CompletedProcess[str]":
    """A gateway that is expected to refuse its settings."""
    return subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env={**os.environ, "DETECT_TRACING": "on", "DETECT_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_last_spans_are_exported_at_shutdown(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector, backend:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "cameras")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=gateway-1")
        with GatewayProcess(backend=backend.target, tracing="on") as gateway:
            detect(gateway)
            assert collector.spans == []
            assert gateway.stop() == 0
        assert len(collector.wait(2)) == 2
        assert collector.resource["service.name"] == "cameras"
        assert collector.resource["k8s.pod.name"] == "gateway-1"


def test_a_share_of_the_requests(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector, backend:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
        with GatewayProcess(backend=backend.target, tracing="on") as gateway:
            for _ in range(REQUESTS):
                detect(gateway)
            lines = gateway.log("request")
    spans = collector.wait(20)
    servers = [span for span in spans if "http.route" in attributes(span)]
    assert 15 <= len(servers) <= 85  # binomial: 50, with a standard deviation of 6.1
    assert len(spans) == 2 * len(servers)
    # The others leave nothing: no identifiers, nothing for the model server.
    sampled = {span.trace_id.hex() for span in servers}
    assert {line["trace_id"] for line in lines if "trace_id" in line} == sampled
    sent = [each["traceparent"] for each in backend.metadata if "traceparent" in each]
    assert {traceparent.split("-")[1] for traceparent in sent} == sampled


@pytest.mark.parametrize("state", ["away", "hangs", "silent"])
def test_a_collector_that_does_not_answer_costs_only_its_spans(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """`silent`: accepts connections, and speaks no protocol."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    with Collector(hangs=True) as collector, socket.create_server(("", 0)) as silent, backend:
        endpoints = {
            "away": f"http://127.0.0.1:{free_port()}",
            "hangs": collector.endpoint,
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoints[state])
        with GatewayProcess(backend=backend.target, tracing="on") as gateway:
            answers = {detect(gateway).text for _ in range(REQUESTS)}
            assert len(answers) == 1
            assert "dog" in answers.pop()
            time.sleep(1.1)  # then the collector is known not to answer
            started = time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - started < 5  # the SDK's own shutdown takes 10 to 30
            library = [line for line in gateway.log() if line["event"] not in OWN_EVENTS]
    # "Queue full" for hundreds of spans, and a failure for each attempt, make a line each.
    assert len(library) <= 3, library
    assert {line["level"] for line in library} <= {"warning"}


OWN_EVENTS = {
    *("settings", "tracing", "listening", "backend", "model without metadata", "request"),
    "stopped",
}


def test_a_collector_that_failed_or_is_slow_is_not_waited_for() -> None:
    called, answer = threading.Event(), threading.Event()

    class Exporter(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            called.set()
            answer.wait()
            return SpanExportResult.SUCCESS if spans else SpanExportResult.FAILURE

    clock = [0.0]
    exporter = WatchedExporter(Exporter(), lambda: clock[0])
    assert exporter.answers()
    call = threading.Thread(target=exporter.export, args=[[]])
    call.start()
    called.wait()
    assert exporter.answers()
    clock[0] = SLOW_S + 0.1
    assert not exporter.answers()
    answer.set()
    call.join()
    assert not exporter.answers()
    exporter.export([ReadableSpan("one")])
    assert exporter.answers()


def test_http_protobuf(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that it is chosen and does not disturb: nothing listens."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with backend, GatewayProcess(backend=backend.target, tracing="on") as gateway:
        assert detect(gateway).status_code == 200


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("DETECT_TRACING", "perhaps"),
    ],
)
def test_refused_variables(variable: str, value: str) -> None:
    done = start(**{variable: value})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert value in done.stderr or "max_queue_size" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_variables_that_turn_traces_off(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with backend, GatewayProcess(backend=backend.target, tracing="on") as gateway:
        detect(gateway)
        assert "trace_id" not in gateway.log("request")[-1]


def test_the_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from service.__main__ import main; sys.exit(main([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "DETECT_TRACING": "on"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "pip install --require-hashes -r requirements/otel.txt" in done.stderr
    assert "Traceback" not in done.stderr
    assert (ROOT / "requirements" / "otel.txt").exists()
