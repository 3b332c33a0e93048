"""The endpoints through a real gateway: responses, probes, metrics and log lines."""

import io

import pytest
from PIL import Image

from service.api.schemas import Format, wants_image
from tests.support.callers.http_contract import EXPECTED, form
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

pytestmark = pytest.mark.usefixtures("usual_answers")


def test_multipart_and_raw_give_the_same(gateway: GatewayProcess, backend: FakeBackend) -> None:
    data = picture()
    assert gateway.http.post("/detect", files=form(data)).json() == EXPECTED
    headers = {"content-type": "image/jpeg"}
    assert gateway.http.post("/detect", content=data, headers=headers).json() == EXPECTED
    assert backend.pictures == [data, data]  # the very bytes


def test_png_is_forwarded_unchanged_and_webp_as_jpeg(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    png = picture(kind="PNG")
    for kind, data in (("png", png), ("webp", picture(kind="WEBP"))):
        headers = {"content-type": f"image/{kind}"}
        response = gateway.http.post("/detect", content=data, headers=headers)
        assert response.json() == EXPECTED
    assert backend.pictures[0] == png
    assert Image.open(io.BytesIO(backend.pictures[1])).format == "JPEG"


def test_the_query(gateway: GatewayProcess) -> None:
    def labels(query: str) -> list[str]:
        found = gateway.http.post(f"/detect?{query}", files=form(picture())).json()
        return [d["label"] for d in found["detections"]]

    assert labels("score_threshold=0") == ["dog", "cat", "mouse"]
    assert labels("score_threshold=0.5") == ["dog", "cat"]
    assert labels("score_threshold=0.51") == ["dog"]
    assert labels("score_threshold=1") == []
    assert labels("max_detections=1") == ["dog"]
    assert labels("label=cat&label=mouse&score_threshold=0") == ["cat", "mouse"]
    assert labels("label=cat&max_detections=1") == ["cat"]
    assert labels("label=bus") == []


def test_boxes_follow_the_exif_orientation(gateway: GatewayProcess, backend: FakeBackend) -> None:
    response = gateway.http.post("/detect", files=form(picture(64, 48, orientation=6)))
    assert response.json()["image"] == {"width": 48, "height": 64}
    assert Image.open(io.BytesIO(backend.pictures[0])).size == (48, 64)
    assert "upright;dur=" in response.headers["server-timing"]


@pytest.mark.parametrize("how", ["?format=image", "accept"])
def test_the_drawn_picture(gateway: GatewayProcess, how: str) -> None:
    headers = {"accept": "image/jpeg"} if how == "accept" else {}
    url = "/detect" if how == "accept" else f"/detect{how}"
    response = gateway.http.post(url, files=form(picture(400, 300)), headers=headers)
    assert response.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(response.content)).size == (400, 300)
    assert "draw;dur=" in response.headers["server-timing"]


def test_format_outranks_accept(gateway: GatewayProcess) -> None:
    headers = {"accept": "image/jpeg"}
    response = gateway.http.post("/detect?format=json", files=form(picture()), headers=headers)
    assert response.json() == EXPECTED


@pytest.mark.parametrize(
    ("accept", "image"),
    [
        ("image/jpeg", True),
        ("IMAGE/JPEG", True),
        ("application/json;q=0.5, image/jpeg", True),
        ("application/json, image/jpeg;q=0.1", False),
        ("application/json, image/jpeg", False),
        ("image/jpeg;q=0", False),
        ("image/jpeg;q=nonsense", False),
        ("image/*", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_what_accept_asks_for(accept: str, image: bool) -> None:
    assert wants_image(None, accept) is image
    assert wants_image(Format.json, accept) is False
    assert wants_image(Format.image, accept) is True


def test_request_id_is_echoed_or_generated(gateway: GatewayProcess) -> None:
    headers = {"x-request-id": "cam-7.42"}
    assert gateway.http.get("/livez", headers=headers).headers["x-request-id"] == "cam-7.42"
    made = {gateway.http.get("/livez").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    odd = {"x-request-id": "a b\t" + "x" * 200}
    assert gateway.http.get("/livez", headers=odd).headers["x-request-id"] != odd["x-request-id"]


def test_server_timing_adds_up(gateway: GatewayProcess, backend: FakeBackend) -> None:
    backend.delay_s = 0.05
    response = gateway.http.post("/detect", files=form(picture()))
    backend.delay_s = 0
    parts = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert list(parts) == ["upload", "queue", "backend", "total"]
    milliseconds = {name: float(value) for name, value in parts.items()}
    assert milliseconds["backend"] >= 50
    assert milliseconds["total"] >= sum(milliseconds[p] for p in ("upload", "queue", "backend"))


# --- what is refused -----------------------------------------------------------------------------


def test_probes_answer_head(gateway: GatewayProcess) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        response = gateway.http.head(path)
        assert (response.status_code, response.content) == (200, b"")
    assert gateway.http.head("/detect").status_code == 405


# --- batches -------------------------------------------------------------------------------------


# --- the backend ---------------------------------------------------------------------------------


# --- metrics, log, document ----------------------------------------------------------------------


def test_metrics_count_what_happened(gateway: GatewayProcess) -> None:
    samples = [
        'detect_requests_total{code="200",route="/detect"}',
        'detect_requests_total{code="400",route="/detect"}',
        'detect_request_duration_seconds_count{code_class="2xx",route="/detect"}',
        'detect_backend_duration_seconds_count{code="OK"}',
        "detect_images_total",
        'detect_detections_total{label="dog"}',
        "detect_upload_bytes_count",
        "detect_upload_bytes_sum",
        'detect_rejected_total{reason="bad-picture"}',
    ]
    before = {s: gateway.metric(s) for s in samples}
    good, bad = picture(), b"not a picture"
    gateway.http.post("/detect", files=form(good))
    gateway.http.post("/detect?label=dog", files=form(good))
    gateway.http.post("/detect?label=cat", files=form(good))
    gateway.http.post("/detect", files=form(bad))
    gateway.http.post("/detect/batch", files=form(good, bad))
    grown = {s: gateway.metric(s) - before[s] for s in samples}
    assert list(grown.values()) == [3, 1, 3, 4, 4, 3, 6, 4 * len(good) + 2 * len(bad), 2]


def test_one_json_line_a_request(gateway: GatewayProcess) -> None:
    before = len(gateway.log())
    data = picture()
    headers = {"x-request-id": "line-1"}
    gateway.http.post("/detect?score_threshold=0", files=form(data), headers=headers)
    gateway.http.get("/livez")
    gateway.http.get("/metrics")
    gateway.http.post("/detect", files=form(b"junk"))
    wait_for(lambda: len(gateway.log()) >= before + 2)
    good, bad = gateway.log()[before:]
    assert {k: good[k] for k in ("event", "level", "request_id", "method", "path", "status")} == {
        "event": "request",
        "level": "info",
        "request_id": "line-1",
        "method": "POST",
        "path": "/detect",
        "status": 200,
    }
    assert (good["bytes"], good["detections"], good["version"]) == (len(data), 3, 3)
    assert good["ms"] > 0
    assert bad["status"] == 400
    assert "4 bytes are not a picture" in bad["error"]
