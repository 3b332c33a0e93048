"""Observability of requests: log lines and their levels, request ids, and metrics by outcome."""

import json
import os
import subprocess
import sys
from typing import Any

import httpx
from grpc import StatusCode

from service.backend import messages as m
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT, free_port


def is_up(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def test_levels_of_requests_and_lost_model_servers() -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(StatusCode.INTERNAL)

    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, ready_interval_s=0.1) as gateway,
    ):
        for reply, data, status in (
            (backend.reply, picture(), 200),
            (backend.reply, b"no picture", 400),
            (refuse, picture(), 503),
        ):
            backend.reply = reply
            sent = gateway.http.post("/detect", files={"image": data})
            assert sent.status_code == status
        wait_for(lambda: len(gateway.log("request")) == 3)
        assert [(line["status"], line["level"]) for line in gateway.log("request")] == [
            *((200, "info"), (400, "info"), (503, "warning"))
        ]
        assert {line["client"] for line in gateway.log("request")} == {"127.0.0.1"}
        backend.state = m.ModelVersionStatus.UNLOADING
        wait_for(lambda: gateway.log("backend")[-1]["level"] == "warning")
        backend.state = m.ModelVersionStatus.AVAILABLE
        wait_for(lambda: gateway.log("backend")[-1]["level"] == "info")


def test_a_long_path_is_cut() -> None:
    with GatewayProcess(backend="127.0.0.1:1") as gateway:
        gateway.http.get("/" + "x" * 20_000)
        wait_for(lambda: gateway.log("request"))
        assert gateway.log("request")[0]["path"] == "/" + "x" * 255


def test_a_traceback_has_its_requests_id() -> None:
    """Also the one that uvicorn logs, which knows nothing of request ids."""
    code = """
from service.api.routes import Gateway
async def bug(self): raise ZeroDivisionError("a bug")
Gateway.readyz = bug
from service.__main__ import main
main()
"""
    port = free_port()
    environment = {**os.environ, "DETECT_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            wait_for(lambda: is_up(http), within_s=20)
            response = http.get("/readyz", headers={"X-Request-ID": "with-a-bug"})
            assert response.status_code == 500
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    lines = [json.loads(line) for line in log.splitlines()]
    about = [line for line in lines if line.get("request_id") == "with-a-bug"]
    traceback, request = sorted(about, key=lambda line: line["event"])
    assert traceback["event"] == "Exception in ASGI application"
    assert "ZeroDivisionError: a bug" in traceback["traceback"]
    assert (request["event"], request["status"]) == ("request", 500)
    assert [line["level"] for line in about] == ["error", "error"]


def test_durations_are_apart_by_outcome() -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        for data, status in ((picture(), 200), (picture(), 200), (b"no picture", 400)):
            sent = gateway.http.post("/detect", files={"image": data})
            assert sent.status_code == status
        name = "detect_request_duration_seconds_count"
        for code_class, count in (("2xx", 2), ("4xx", 1), ("5xx", 0)):
            sample = f'{name}{{code_class="{code_class}",route="/detect"}}'
            wait_for(lambda: gateway.metric(sample) == count)  # noqa: B023


def test_the_client_of_a_connection_by_ipv6() -> None:
    with GatewayProcess(backend="127.0.0.1:1", host="::1") as gateway:
        url = f"http://[::1]:{gateway.url.rpartition(':')[2]}"
        assert httpx.get(f"{url}/missing").status_code == 404
        wait_for(lambda: gateway.log("request"))
        assert gateway.log("request")[0]["client"] == "::1"
