"""The client continues the trace of the program that calls it."""

import asyncio
import subprocess
import sys

from detect_client import AsyncClient, Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.fakes.http_server import HttpServer, Request
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT

tracer = TracerProvider().get_tracer("program")


def test_requests_carry_the_current_span() -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        body = gateway.http.post("/detect", files={"image": picture()}).content

    def answer(request: Request) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, body

    async def asynchronous(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.detect(picture())
            async for _ in client.detect_many([picture()]):
                pass

    with HttpServer(answer) as server, tracer.start_as_current_span("work") as span:
        with Client(server.url) as client:
            client.detect(picture())
            list(client.detect_many([picture()] * 2))
        asyncio.run(asynchronous(server.url))
        with trace.use_span(trace.INVALID_SPAN), Client(server.url) as client:
            client.detect(picture())
    ids = span.get_span_context()
    *traced, untraced = [request.headers.get("traceparent", "") for request in server.requests]
    assert len(traced) == 5
    assert all(f"-{ids.trace_id:032x}-{ids.span_id:016x}-" in header for header in traced)
    assert untraced == ""


def test_opentelemetry_is_not_loaded_for_it() -> None:
    code = (
        "import sys, detect_client.calls as calls; assert calls.trace_context() == {};"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT / "client", capture_output=True, text=True)
    assert done.stdout == "[]\n"
