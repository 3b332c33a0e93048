"""Canary: its share of the callers, X-Model-Version, fallback to the stable version, readiness."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode

from service.detection.canary import position
from tests.support.fakes.fake_backend import CAT, DOG, FakeBackend, Refuse, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

JPEG = picture()
HEADERS = {"Content-Type": "image/jpeg"}
SETTINGS = {"model_version": "stable", "canary": "canary:10", "ready_interval_s": 0.05}
VERSION = "X-Model-Version"


def refuse(_: bytes) -> Any:
    raise Refuse(StatusCode.INTERNAL)


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(labels={"stable": 1, "canary": 2}) as fake:
        yield fake


@pytest.fixture(autouse=True)
def two_versions(backend: FakeBackend) -> None:
    backend.versions = {1: lambda _: answer([DOG, CAT], 1), 2: lambda _: answer([DOG], 2)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    sums = (f"caller{i} {hashlib.sha256(f'key{i}'.encode()).hexdigest()}" for i in range(100))
    path.write_text("\n".join(sums))
    return path


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    backend.versions = {1: backend.reply, 2: backend.reply}
    with GatewayProcess(backend=backend.target, **SETTINGS) as process:
        ready(process)
        yield process


def ready(gateway: GatewayProcess) -> None:
    wait_for(lambda: gateway.metric('detect_backend_ready{track="canary"}') == 1)


def post(gateway: GatewayProcess, path: str = "/detect", **headers: str) -> Any:
    return gateway.http.post(path, content=JPEG, headers=HEADERS | headers)


def callers(canary: bool, count: int = 20) -> list[str]:
    """Request ids that the canary answers, or the stable version."""
    ids = (f"r{i}" for i in range(10_000))
    chosen = (i for i in ids if (position("", "yolov4", "canary", i) < 10) is canary)
    return [next(chosen) for _ in range(count)]


def test_a_request_without_a_key_is_known_by_its_id(gateway: GatewayProcess) -> None:
    for canary, version in ((True, 2), (False, 1)):
        for caller in callers(canary, 5):
            response = post(gateway, **{"X-Request-ID": caller})
            assert response.json()["model"] == {"name": "yolov4", "version": version}
            assert response.headers[VERSION] == str(version)


def test_batches_and_dialects_obey(gateway: GatewayProcess) -> None:
    (caller,) = callers(True, 1)
    files = [("image", JPEG), ("image", JPEG)]
    batch = gateway.http.post("/detect/batch", files=files, headers={"X-Request-ID": caller})
    assert [each["model"]["version"] for each in batch.json()["results"]] == [2, 2]
    assert batch.headers[VERSION] == "2"
    binary = {"Inference-Header-Content-Length": "0"}
    dialects: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("/v1/vision/detection", {"files": {"image": JPEG}}, {}),
        ("/invocations", {"content": JPEG}, HEADERS),
        ("/v2/models/yolov4/infer", {"content": JPEG}, binary),
    ]
    for path, body, headers in dialects:
        for canary, version in ((True, "2"), (False, "1")):
            own = headers | {"X-Request-ID": callers(canary, 1)[0]}
            response = gateway.http.post(path, headers=own, **body)
            assert (response.status_code, response.headers[VERSION]) == (200, version), path


@pytest.mark.parametrize("asked", ["2", "canary"])
def test_a_version_is_asked_for_by_number_or_label(gateway: GatewayProcess, asked: str) -> None:
    (caller,) = callers(False, 1)
    response = post(gateway, **{"X-Request-ID": caller, VERSION: asked})
    assert response.json()["model"]["version"] == 2
    assert len(response.json()["detections"]) == 1


@pytest.mark.parametrize(
    ("asked", "status"), [("9", 404), ("beta", 404), ("", 422), ("-1", 422), ("9" * 19, 422)]
)
def test_a_version_that_is_not_served_is_an_error(
    gateway: GatewayProcess, asked: str, status: int
) -> None:
    response = post(gateway, **{VERSION: asked})
    assert response.status_code == status
    assert VERSION not in response.headers
    if status == 404:
        detail = f"Version '{asked}' of model 'yolov4' is not served."
        assert response.json()["detail"] == detail
    assert gateway.http.get("/readyz").status_code == 200  # nothing was ejected for it


def test_a_path_asks_for_its_version(gateway: GatewayProcess) -> None:
    binary = {"Inference-Header-Content-Length": "0"}
    for number in "12":
        path = f"/v2/models/yolov4/versions/{number}"
        content = gateway.http.post(f"{path}/infer", content=JPEG, headers=binary).json()
        assert content["model_version"] == number
        assert gateway.http.get(path).json()["versions"] == [number]
    for number in ("9", "null", "9" * 19):
        assert gateway.http.get(f"/v2/models/yolov4/versions/{number}").status_code == 404
        path = f"/v1/models/yolov4/versions/{number}:predict"
        assert gateway.http.post(path, json={"instances": []}).status_code == 404
    response = post(gateway, "/v2/models/yolov4/versions/1/infer", **binary, **{VERSION: "2"})
    assert response.status_code == 422
    assert "the path says '1'" in response.json()["error"]


def test_the_metrics_have_track_and_version(gateway: GatewayProcess) -> None:
    def images(track: str) -> float:
        return gateway.metric(f'detect_images_total{{model="yolov4",track="{track}"}}')

    before = images("stable"), images("canary"), images("requested")
    post(gateway, **{"X-Request-ID": callers(True, 1)[0]})
    post(gateway, **{"X-Request-ID": callers(False, 1)[0]})
    post(gateway, **{VERSION: "1"})
    assert (images("stable"), images("canary"), images("requested")) == tuple(
        count + 1 for count in before
    )
    called = 'detect_backend_duration_seconds_count{code="OK",model="yolov4"'
    assert gateway.metric(f'{called},track="canary",version="2"}}') > 0
    assert gateway.metric(f'{called},track="stable",version="1"}}') > 0
    labelled = 'detect_detections_total{label="dog",track="canary",version="2"}'
    assert gateway.metric(labelled) > 0
    assert gateway.metric('detect_model_info{name="yolov4",track="canary",version="2"}') == 1


def test_callers_of_unknown_versions_add_no_series(gateway: GatewayProcess) -> None:
    post(gateway, **{VERSION: "77"})
    before = len(gateway.http.get("/metrics").text.splitlines())
    for version in range(100, 120):
        assert post(gateway, **{VERSION: str(version)}).status_code == 404
    after = len(gateway.http.get("/metrics").text.splitlines())
    assert after == before


def test_the_stable_version_answers_for_a_failing_canary(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    fallbacks = 'detect_canary_fallbacks_total{reason="failed"}'
    before = gateway.metric(fallbacks)
    backend.versions[2] = refuse
    for caller in callers(True, 3):
        assert post(gateway, **{"X-Request-ID": caller}).json()["model"]["version"] == 1
    assert gateway.metric(fallbacks) == before + 3
    (line,) = gateway.log("canary fallback")
    assert (line["level"], line["reason"]) == ("warning", "failed")
    errors = 'detect_backend_duration_seconds_count{code="INTERNAL",track="canary",version="2"}'
    assert gateway.metric(errors) >= 3
    assert post(gateway, **{VERSION: "canary"}).status_code == 503  # asked for: no other answer


def test_readiness_does_not_depend_on_the_canary(backend: FakeBackend) -> None:
    del backend.versions[2]
    with GatewayProcess(backend=backend.target, **SETTINGS) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        for caller in callers(True, 3):
            assert post(gateway, **{"X-Request-ID": caller}).json()["model"]["version"] == 1
        assert gateway.metric('detect_canary_fallbacks_total{reason="unavailable"}') == 3
        assert gateway.metric('detect_backend_ready{track="canary"}') == 0
        backend.versions[2] = lambda _: answer([DOG], 2)
        ready(gateway)
        assert post(gateway, **{"X-Request-ID": caller}).json()["model"]["version"] == 2


def test_ten_percent_of_5000_callers_and_always_the_same() -> None:
    taken = [position("", "yolov4", "canary", f"caller {i}") < 10 for i in range(5000)]
    assert abs(sum(taken) / 50 - 10) <= 1
    more = [position("", "yolov4", "canary", f"caller {i}") < 25 for i in range(5000)]
    assert all(later for earlier, later in zip(taken, more, strict=True) if earlier)
    salted = [position("2026-11", "yolov4", "canary", f"caller {i}") < 10 for i in range(5000)]
    both = sum(a and b for a, b in zip(taken, salted, strict=True))
    assert both < 100  # 50 by chance


def test_two_gateways_agree_on_every_caller(backend: FakeBackend, keys: Path) -> None:
    settings = SETTINGS | {"api_keys_file": keys, "backend": backend.target}
    answers: list[list[int]] = []
    for _ in range(2):
        with GatewayProcess(**settings) as gateway:
            ready(gateway)
            for _ in range(2):
                of_keys = (post(gateway, **{"X-API-Key": f"key{i}"}) for i in range(100))
                answers.append([each.json()["model"]["version"] for each in of_keys])
    expected = [1 + (position("", "yolov4", "canary", f"caller{i}") < 10) for i in range(100)]
    assert answers == [expected] * 4
    assert 0 < expected.count(2) < 30
