"""The application: which web pages may call it from a browser (CORS), and its health checks."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.core.logs.settings import SettingsError
from service.settings import Settings
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT, free_port

ALLOWED, OTHER = "https://app.example.com", "https://evil.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-timeout-ms",
}
KEY = "k" * 43


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"a {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    with (
        FakeBackend() as backend,
        GatewayProcess(
            backend=backend.target,
            api_keys_file=Path(keys),
            cors_origins=f"http://localhost:3000, {ALLOWED}",
        ) as process,
    ):
        yield process


@pytest.mark.parametrize("origin", [ALLOWED, "http://localhost:3000"])
def test_a_configured_origin_may_call(gateway: GatewayProcess, origin: str) -> None:
    preflight = gateway.http.options("/detect", headers={"Origin": origin, **PREFLIGHT})
    assert preflight.status_code == 200  # without a key: browsers send none here
    assert preflight.headers["access-control-allow-origin"] == origin
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    headers = {"Origin": origin, "Authorization": f"Bearer {KEY}"}
    response = gateway.http.post("/detect", files={"image": picture()}, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert "Server-Timing" in response.headers["access-control-expose-headers"]
    refused = gateway.http.post("/detect", headers={"Origin": origin})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == origin  # the page may read why


def test_another_origin_may_not(gateway: GatewayProcess) -> None:
    preflight = gateway.http.options("/detect", headers={"Origin": OTHER, **PREFLIGHT})
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    response = gateway.http.get("/livez", headers={"Origin": OTHER})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


def test_by_default_no_origin_may() -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        preflight = gateway.http.options("/detect", headers={"Origin": ALLOWED, **PREFLIGHT})
        assert preflight.status_code == 405
        response = gateway.http.get("/livez", headers={"Origin": ALLOWED})
        assert "access-control-allow-origin" not in {**preflight.headers, **response.headers}


@pytest.mark.parametrize("origins", ["app.example.com", "https://a.example/", "https://a,b", ","])
def test_an_invalid_origin_is_an_error_at_startup(
    monkeypatch: pytest.MonkeyPatch, origins: str
) -> None:
    monkeypatch.setenv("DETECT_CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match=r"DETECT_CORS_ORIGINS=.* is not an origin like https:"):
        Settings.load()


def test_a_bug_does_not_end_the_health_checks() -> None:
    code = """
from service.detection.detector import Detector
ready, calls = Detector.ready, []
async def fails_twice(self):
    calls.append(1)
    if len(calls) <= 2:
        raise ZeroDivisionError("a bug")
    return await ready(self)
Detector.ready = fails_twice
from service.__main__ import main
main()
"""
    with FakeBackend() as backend:
        port = free_port()
        environment = {
            **os.environ,
            "DETECT_PORT": str(port),
            "DETECT_BACKEND": backend.target,
            "DETECT_READY_INTERVAL_S": "0.1",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )

        def ready() -> bool:
            try:
                metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            except httpx.TransportError:
                return False
            return '\ndetect_backend_ready{model="yolov4",track="stable"} 1.0\n' in metrics

        try:
            wait_for(ready, within_s=20)
        finally:
            process.terminate()
            _, log = process.communicate(timeout=30)
    lines = [line for line in map(json.loads, log.splitlines()) if line["level"] == "error"]
    assert [line["event"] for line in lines] == ["health check failed"] * 2
    assert all("ZeroDivisionError: a bug" in line["traceback"] for line in lines)
