"""The container's health check, against a gateway on each address family."""

import subprocess
import sys

import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT, free_port


def check(host: str, port: int, path: str) -> int:
    return subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "docker" / "gateway" / "healthy.py", path],
        env={"DETECT_HOST": host, "DETECT_PORT": str(port), "http_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        timeout=20,
    ).returncode


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "::", "::1"])
def test_the_gateway_is_found_on_each_address_family(host: str) -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target, host=host) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        assert check(host, port, "/livez") == 0
        wait_for(lambda: check(host, port, "/readyz") == 0, within_s=20)
        backend.stop()
        wait_for(lambda: check(host, port, "/readyz") == 1, within_s=20)
        assert check(host, port, "/livez") == 0


def test_nothing_listens() -> None:
    assert check("0.0.0.0", free_port(), "/livez") == 1
