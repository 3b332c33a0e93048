"""Headers that every answer carries, and `/docs` without any other address."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import Response

from service.api import problems
from service.api.middleware import ObservabilityMiddleware
from service.core.metrics import Metrics
from service.core.responses import CSP_DENY_ALL, SECURITY_HEADERS
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as process:
        yield process


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("POST", "/detect", 200), ("POST", "/detect?format=image", 200)),
        *(("POST", "/detect/batch", 200), ("POST", "/detect?x=1", 422)),
        *(("GET", "/livez", 200), ("GET", "/readyz", 200), ("GET", "/metrics", 200)),
        *(("GET", "/openapi.json", 200), ("GET", "/nowhere", 404), ("GET", "/detect", 405)),
        ("GET", "/docs/files/swagger-ui.css", 200),
    ],
)
def test_every_answer_has_them(
    gateway: GatewayProcess, method: str, path: str, status: int
) -> None:
    files = {"image": picture()} if method == "POST" else None
    response = gateway.http.request(method, path, files=files)
    assert response.status_code == status
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    assert response.headers.get_list("cache-control") == ["no-store"]
    assert response.headers.get_list("content-security-policy") == [CSP_DENY_ALL]
    assert "server" not in response.headers


def test_the_answer_to_a_bug_has_them_too_and_says_nothing_of_it() -> None:
    async def bug() -> Response:
        raise RuntimeError("secret words")

    app = FastAPI(middleware=[Middleware(ObservabilityMiddleware, metrics=Metrics())])
    problems.install(app)
    app.get("/bug")(bug)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/bug", "query_string": b"", "headers": []}
    with pytest.raises(RuntimeError):
        asyncio.run(app({**scope, "app": app}, receive, send))
    start, body = sent
    assert start["status"] == 500
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    expected = {name.lower(): value for name, value in SECURITY_HEADERS.items()}
    assert expected.items() <= headers.items()
    assert headers["content-security-policy"] == CSP_DENY_ALL
    assert len(headers["x-request-id"]) == 32
    assert b"secret" not in body["body"]


def test_docs_need_no_other_address(gateway: GatewayProcess) -> None:
    page = gateway.http.get("/docs")
    addresses = re.findall(r"""(?:src|href|url)['"]?\s*[=:]\s*['"](.*?)['"]""", page.text)
    assert "/openapi.json" in addresses
    assert len(addresses) == 4
    for address in addresses:
        assert address.startswith("/")
        assert gateway.http.get(address).status_code == 200, address
    policy = page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert re.findall(r"'sha256-(.*?)'", policy) == digests
    assert "script-src 'self' 'sha256-" in policy


def test_a_host_that_is_none_or_another_changes_nothing(gateway: GatewayProcess) -> None:
    for host in ("evil.example", "[", "a b", ""):
        response = gateway.http.get("/nowhere/", headers={"host": host})
        assert response.status_code in (400, 404), host
        assert "evil" not in response.text
        assert "location" not in response.headers
    assert gateway.http.post("/detect/", files={"image": picture()}).status_code == 404
