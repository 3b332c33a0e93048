"""DOODS, as Home Assistant sends and reads it; and JSON on /detect."""

import base64
import hashlib
from pathlib import Path

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

PICTURE = base64.b64encode(picture()).decode()


def ask(http: httpx.Client, **more: object) -> httpx.Response:
    return http.post("/detect", json={"data": PICTURE, "detector_name": "default", **more})


def test_detectors(http: httpx.Client) -> None:
    default, named = http.get("/detectors").json()["detectors"]
    assert (default["name"], named["name"]) == ("default", "yolov4")
    for key in ("labels", "width", "height", "type", "model"):  # Home Assistant reads them all
        assert key in default


def test_boxes_are_parts_of_the_picture_and_confidences_per_cent(http: httpx.Client) -> None:
    content = ask(http, detect={"*": 60}, id="42").json()
    assert content == {
        "id": "42",
        "detections": [
            {
                "label": "dog",
                "confidence": 75.0,
                "top": 20.5 / 48,
                "left": 10.25 / 64,
                "bottom": 1.0,
                "right": 60 / 64,
            }
        ],
    }


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ({"*": 5}, ["dog", "motorcycle", "mouse"]),
        ({"*": 5, "dog": 80}, ["motorcycle", "mouse"]),
        ({"motorcycle": 50}, ["motorcycle"]),
        ({"motorbike": 50}, ["motorcycle"]),
        ({"dog": 76}, []),
        ({}, []),
        ({"*": 0}, ["dog", "motorcycle", "mouse"]),
    ],
)
def test_the_filter(http: httpx.Client, limits: dict[str, float], labels: list[str]) -> None:
    content = ask(http, detect=limits).json()
    assert [d["label"] for d in content["detections"]] == labels
    assert "error" not in content


def test_json_with_image_is_the_gateways_own_contract(http: httpx.Client) -> None:
    plain = http.post("/detect?max_detections=1", files={"image": picture()}).json()
    for text in (
        PICTURE,
        f"data:image/jpeg;base64,{PICTURE}",
        base64.encodebytes(picture()).decode(),
    ):
        answer = http.post("/detect?max_detections=1", json={"image": text})
        assert answer.json() == plain
    drawn = http.post("/detect?format=image", json={"image": PICTURE})
    assert drawn.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        ({"data": "****"}, 400, "data is not base64"),
        ({"data": "http://10.0.0.1/x.jpg"}, 400, "is a URL"),
        ({"data": "file:///etc/passwd"}, 400, "is a URL"),
        ({"data": 7}, 400, "must be a picture in base64"),
        ({"data": "aGFsbG8="}, 400, "not a picture"),
        ({}, 400, "neither `image` nor `data`"),
        ({"data": PICTURE, "detector_name": "other"}, 422, "GET /detectors"),
        ({"data": PICTURE, "detect": {"*": 200}}, 422, "from 0 to 100"),
        ({"data": PICTURE, "detect": {"*": True}}, 422, "from 0 to 100"),
        ({"data": PICTURE, "detect": [1]}, 422, "must be an object"),
        ({"data": PICTURE, "regions": [{}]}, 422, "regions are not supported"),
    ],
)
def test_errors_have_an_error(
    http: httpx.Client, content: dict[str, object], status: int, sentence: str
) -> None:
    response = http.post("/detect", json=content)
    assert response.status_code == status
    assert sentence in response.json()["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'"x"', b'{"data": NaN}', b"\xff" * 100, b"[" * 5000]
)
def test_a_body_that_is_not_a_json_object(http: httpx.Client, body: bytes) -> None:
    response = http.post("/detect", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]


def test_a_body_that_is_too_large(http: httpx.Client) -> None:
    response = http.post("/detect", json={"data": "A" * 300_000})
    assert response.status_code == 413
    assert "limit" in response.json()["error"]


def test_rejections_are_counted_once(gateway: GatewayProcess) -> None:
    sample = 'detect_rejected_total{reason="malformed-body"}'
    before = gateway.metric(sample)
    gateway.http.post("/detect", json={})
    assert gateway.metric(sample) == before + 1


def test_the_key_is_in_doods_own_header(backend: FakeBackend, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"ha {hashlib.sha256(b'secret').hexdigest()}\n")
    with GatewayProcess(backend=backend.target, api_keys_file=tmp_path / "keys") as gateway:
        content = {"data": PICTURE, "detect": {"*": 60}}
        for key, status in [("secret", 200), ("wrong", 401)]:
            headers = {"doods-auth-key": key}
            response = gateway.http.post("/detect", json=content, headers=headers)
            assert response.status_code == status
