"""`detect_rejected_total` counts a request that gets 401, 422, 499 or 500, on every route once."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.callers.raw_http import connect
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

KEY = "k" * 43
FORM = {"files": [("image", picture())]}
B64 = base64.b64encode(picture()).decode()
TENSOR = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [B64]}
REQUESTS: dict[str, dict[str, Any]] = {
    "/detect": FORM,
    "/detect/batch": FORM,
    "/models/yolov4/detect": FORM,
    "/models/yolov4/detect/batch": FORM,
    "/v1/vision/detection": FORM,
    "/invocations": {"json": {"instances": [{"b64": B64}]}},
    "/v2/models/yolov4/infer": {"json": {"inputs": [TENSOR]}},
}


class BrokenGateway(GatewayProcess):
    module = "tests.support.processes.broken_gateway"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"camera {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    return path


@pytest.fixture(scope="module")
def guarded(keys: Path) -> Iterator[GatewayProcess]:
    """Requires a key."""
    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, api_keys_file=keys) as gateway,
    ):
        gateway.http.headers["Authorization"] = f"Bearer {KEY}"
        yield gateway


@pytest.fixture(scope="module")
def broken() -> Iterator[GatewayProcess]:
    with FakeBackend() as backend, BrokenGateway(backend=backend.target) as gateway:
        yield gateway


def rejected(gateway: GatewayProcess) -> dict[str, int]:
    """By reason, over all models."""
    counts: dict[str, int] = {}
    for line in gateway.http.get("/metrics").text.splitlines():
        if line.startswith("detect_rejected_total{"):
            reason = line.partition('reason="')[2].partition('"')[0]
            counts[reason] = counts.get(reason, 0) + int(float(line.rpartition(" ")[2]))
    return counts


def added(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: n - before.get(name, 0) for name, n in after.items() if n > before.get(name, 0)}


@pytest.mark.parametrize("path", REQUESTS)
def test_401_422_and_499(guarded: GatewayProcess, path: str) -> None:
    before, images = rejected(guarded), guarded.metric("detect_images_total")
    assert httpx.post(guarded.url + path, **REQUESTS[path]).status_code == 401
    assert added(before, rejected(guarded)) == {"unauthorized": 1}

    if path.startswith(("/detect", "/models/")):  # the dialects have no query
        bad = guarded.http.post(f"{path}?score_threshold=2", **REQUESTS[path])
        assert bad.status_code == 422
        assert added(before, rejected(guarded)) == {"unauthorized": 1, "bad-parameter": 1}

    before = rejected(guarded)
    request = guarded.http.build_request("POST", path, **REQUESTS[path])
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with connect(guarded) as client:  # and disconnect before the last byte is sent
        client.sendall(f"POST {path} HTTP/1.1\r\n{fields}\r\n".encode() + request.read()[:-1])
    wait_for(lambda: added(before, rejected(guarded)) == {"client-disconnect": 1})
    assert guarded.metric("detect_images_total") == images


@pytest.mark.parametrize("path", REQUESTS)
def test_500(broken: GatewayProcess, path: str) -> None:
    before = rejected(broken)
    response = broken.http.post(path, **REQUESTS[path])
    assert response.status_code == 500
    assert "a bug" not in response.text
    assert added(before, rejected(broken)) == {"internal-error": 1}
    assert broken.metric("detect_images_total") == 0
