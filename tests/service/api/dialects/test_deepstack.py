"""DeepStack and CodeProject.AI, as their clients send and read it."""

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend, Row, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

DETECTION = "/v1/vision/detection"
# What Frigate's plugin knows, as far as these tests need it (label_map of its default model).
FRIGATE_LABELS = {"person", "dog", "motorcycle", "tv", "couch", "mouse"}


def test_detections(http: httpx.Client) -> None:
    response = http.post(DETECTION, files={"image": ("image", picture())})
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len(response.content)
    content = response.json()
    assert content["predictions"] == [
        {"confidence": 0.75, "label": "dog", "x_min": 10, "y_min": 20, "x_max": 60, "y_max": 48},
        {
            "confidence": 0.5,
            "label": "motorcycle",
            "x_min": 0,
            "y_min": 3,
            "x_max": 64,
            "y_max": 40,
        },
    ]
    assert (content["success"], content["count"], content["code"]) == (True, 2, 200)
    assert content["message"] == "Found dog, motorcycle"
    assert content["duration"] == 0
    assert content["processMs"] >= content["inferenceMs"] >= 0
    assert content["requestId"] == response.headers["x-request-id"]


def test_what_frigate_relies_on(http: httpx.Client, backend: FakeBackend) -> None:
    """Its plugin stops at the first score below 0.4 or unknown label, and has room for 20 rows."""
    rows: list[Row] = [("person", 0, 0.99 - i / 100, (1.0, 1.0, 9.0, 9.0)) for i in range(60)]
    backend.reply = lambda _: answer(rows)
    found = http.post(DETECTION, data={"api_key": ""}, files={"image": picture()}).json()
    scores = [p["confidence"] for p in found["predictions"]]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.4
    assert {p["label"] for p in found["predictions"]} <= FRIGATE_LABELS
    assert all(type(p[side]) is int for p in found["predictions"] for side in ("x_min", "y_max"))
    more = http.post(f"{DETECTION}?max_detections=50&other=1", files={"image": picture()}).json()
    assert more["count"] == 50


@pytest.mark.parametrize("name", ["image", "file", "image1"])
def test_the_file_has_any_name(http: httpx.Client, name: str) -> None:
    """DeepStack's clients say image, CodeProject.AI's SDK file, its explorer image1."""
    assert http.post(DETECTION, files={name: ("x", picture())}).json()["count"] == 2


@pytest.mark.parametrize(("text", "count"), [("0.6", 1), ("0.05", 3), ("", 2), ("1", 0), ("0", 3)])
def test_minimum_confidence(http: httpx.Client, text: str, count: int) -> None:
    data = {"min_confidence": text, "unknown": "ignored"}
    content = http.post(DETECTION, data=data, files={"image": picture()}).json()
    assert content["count"] == count
    assert (content["message"] == "No objects found") == (count == 0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1.5", "min_confidence cannot be greater than 1"),
        ("x", "Invalid value for min_confidence"),
        ("-1", "Invalid value for min_confidence"),
        ("nan", "Invalid value for min_confidence"),
    ],
)
def test_a_wrong_confidence(http: httpx.Client, text: str, sentence: str) -> None:
    response = http.post(DETECTION, data={"min_confidence": text}, files={"image": picture()})
    assert response.status_code == 400
    assert sentence in response.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"files": {"image": b"rubbish"}}, 400, "not a picture"),
        ({"data": {"api_key": "x"}, "files": {}}, 415, "multipart/form-data"),
        ({"files": [("a", (None, b"text"))]}, 400, "No valid image file found"),
        ({"files": {"image": b"\xff\xd8" + bytes(200_000)}}, 413, "The limit is"),
        ({"files": {"image": b"GIF89a" + bytes(40)}}, 415, "GIF"),
        ({"json": {}}, 415, "multipart/form-data"),
        ({"files": [("t", (None, b"x" * 5000)), ("image", b"y")]}, 413, "at most 4096"),
        ({"files": [(f"t{i}", (None, b"x")) for i in range(40)]}, 413, "16 parts"),
    ],
)
def test_errors_are_json_with_success_false(
    http: httpx.Client, body: dict[str, object], status: int, sentence: str
) -> None:
    response = http.post(DETECTION, **body)  # type: ignore[arg-type]
    assert response.status_code == status
    content = response.json()
    assert (content["success"], content["code"], content["predictions"]) == (False, status, [])
    assert sentence in content["error"]
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(response.content)


@pytest.mark.parametrize("name", ["yolov4", "general", "ipcam-general"])
def test_models_by_name(http: httpx.Client, name: str) -> None:
    found = http.post(f"/v1/vision/custom/{name}", files={"image": picture()})
    assert found.json()["count"] == 2
    other = http.post("/v1/vision/custom/license-plate", files={"image": picture()})
    assert other.status_code == 404
    assert "only 'yolov4'" in other.json()["error"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_list_of_models(http: httpx.Client, method: str) -> None:
    content = http.request(method, "/v1/vision/custom/list").json()
    assert (content["success"], content["models"]) == (True, ["yolov4"])


@pytest.mark.parametrize("prefix", ["/v1/status", "/v1/server/status"])
def test_status(http: httpx.Client, prefix: str) -> None:
    assert http.get(f"{prefix}/ping").json()["success"] is True
    version = http.get(f"{prefix}/version").json()["version"]
    assert set(version) == {
        *("major", "minor", "patch", "preRelease", "securityUpdate"),
        *("build", "file", "releaseNotes"),
    }
    update = http.get(f"{prefix}/updateavailable").json()
    assert update["updateAvailable"] is False
    assert update["version"] == update["current"] == update["latest"] == version


def test_the_key_may_be_in_the_form(backend: FakeBackend, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"door {hashlib.sha256(b'secret').hexdigest()}\n")
    with GatewayProcess(backend=backend.target, api_keys_file=tmp_path / "keys") as gateway:
        for key, status in [("secret", 200), ("wrong", 401), ("", 401)]:
            files = {"image": picture()}
            response = gateway.http.post(DETECTION, data={"api_key": key}, files=files)
            assert response.status_code == status
            assert response.json()["success"] is (status == 200)
        headers = {"X-API-Key": "secret"}
        assert gateway.http.post(DETECTION, files=files, headers=headers).status_code == 200
        assert "secret" not in str(gateway.log())
        assert gateway.log("request")[0]["key"] == "door"
        assert gateway.metric('detect_rejected_total{reason="unauthorized"}') == 2


def test_no_model_server(tmp_path: Path) -> None:
    with GatewayProcess(backend="127.0.0.1:1") as gateway:
        response = gateway.http.post(DETECTION, files={"image": picture()})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["success"] is False
