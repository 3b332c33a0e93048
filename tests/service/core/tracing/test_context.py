"""The trace's context: taken from the caller, passed on, and in the log and the metrics."""

import subprocess
import sys

import pytest

from tests.service.core.tracing.calls import CALLER, OPENMETRICS, SAMPLED, TRACE, detect
from tests.support.callers.raw_http import connect, get
from tests.support.fakes.collector import Collector
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT


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
