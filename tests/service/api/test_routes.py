"""The HTTP contract, through a real gateway before a backend whose answers are chosen here."""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from PIL import Image

from service.api.schemas import Format, wants_image
from service.backend import messages as m
from tests.support.fake_backend import CAT, DOG, MOUSE, FakeBackend, Refuse, answer
from tests.support.gateway_process import GatewayProcess, wait_for
from tests.support.pictures import header_only, picture

LIMIT = 200_000


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target,
        max_upload_bytes=LIMIT,
        max_batch_bytes=2 * LIMIT,
        max_batch_pictures=3,
        max_pixels=1_000_000,
        ready_interval_s=0.05,
    ) as process:
        yield process


@pytest.fixture(autouse=True)
def _usual_answers(backend: FakeBackend) -> Iterator[None]:
    yield
    backend.reply = lambda _: answer([DOG, CAT, MOUSE])
    backend.state = m.ModelVersionStatus.AVAILABLE
    backend.pictures.clear()


def form(*pictures: bytes, name: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(name, (f"{i}.jpg", data)) for i, data in enumerate(pictures)]


def problem(response: httpx.Response, status: int, kind: str) -> str:
    """Checks the whole problem; returns its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["type"] == f"urn:problem:{kind}"
    assert found["status"] == status
    assert found["request_id"] == response.headers["x-request-id"]
    assert set(found) == {"type", "title", "status", "detail", "request_id"}
    return str(found["detail"])


EXPECTED = {
    "model": {"name": "yolov4", "version": 3},
    "image": {"width": 64, "height": 48},
    "detections": [
        {
            "label": "dog",
            "class_id": 16,
            "score": 0.75,
            "box": {"x_min": 10.25, "y_min": 20.5, "x_max": 60.0, "y_max": 48.0},
        },
        {
            "label": "cat",
            "class_id": 15,
            "score": 0.5,
            "box": {"x_min": 0.0, "y_min": 3.0, "x_max": 64.0, "y_max": 40.0},
        },
    ],
}


def test_multipart_and_raw_give_the_same(gateway: GatewayProcess, backend: FakeBackend) -> None:
    data = picture()
    assert gateway.http.post("/detect", files=form(data)).json() == EXPECTED
    headers = {"content-type": "image/jpeg"}
    assert gateway.http.post("/detect", content=data, headers=headers).json() == EXPECTED
    assert backend.pictures == [data, data]  # the very bytes


def test_png_goes_on_as_it_came_and_webp_as_jpeg(
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


def test_a_turned_picture_is_answered_as_shown(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
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


def test_request_id_is_echoed_or_made(gateway: GatewayProcess) -> None:
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


@pytest.mark.parametrize(
    ("data", "status", "kind", "says"),
    [
        (b"", 400, "bad-picture", "empty"),
        (b"not a picture", 400, "bad-picture", "13 bytes are not a picture"),
        (picture()[:30], 400, "bad-picture", "picture"),
        (header_only(0, 0), 400, "bad-picture", "picture"),
        (header_only(30_000, 30_000), 413, "too-large", "30000 x 30000"),
        (picture(kind="GIF"), 415, "unsupported-media", "a GIF; send JPEG, PNG or WebP"),
        (b"\xff\xd8" + b"\0" * LIMIT, 413, "too-large", f"{LIMIT} bytes"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_bad_pictures(
    gateway: GatewayProcess, data: bytes, status: int, kind: str, says: str, raw: bool
) -> None:
    counted = f'detect_rejected_total{{reason="{kind}"}}'
    before = gateway.metric(counted)
    if raw:
        headers = {"content-type": "image/jpeg"}
        response = gateway.http.post("/detect", content=data, headers=headers)
    else:
        response = gateway.http.post("/detect", files=form(data))
    assert says in problem(response, status, kind)
    assert gateway.metric(counted) == before + 1
    assert gateway.http.post("/detect", files=form(picture())).json() == EXPECTED


def test_a_right_picture_that_the_model_server_refuses_each_time(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "{{node map/while/DecodeJpeg}} Invalid JPEG")

    backend.reply = refuse
    detail = problem(gateway.http.post("/detect", files=form(picture())), 503, "backend-failed")
    assert "not damaged" in detail
    assert "node" not in detail
    assert len(backend.pictures) == 5  # three times as uploaded, then encoded again
    wait_for(lambda: "DecodeJpeg" in gateway.log("request")[-1].get("cause", ""))


@pytest.mark.parametrize("unlucky", [1, 2])
def test_a_right_picture_in_a_damaged_ones_batch_is_sent_again(
    gateway: GatewayProcess, backend: FakeBackend, unlucky: int
) -> None:
    def refuse(_: bytes) -> Any:
        if len(backend.pictures) <= unlucky:
            raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG data or crop window")
        return answer([DOG, CAT, MOUSE])

    before = gateway.metric("detect_suspected_total")
    backend.pictures.clear()
    backend.reply = refuse
    assert gateway.http.post("/detect", files=form(picture())).json() == EXPECTED
    first, *again = backend.pictures
    assert first == picture()
    assert len(again) == unlucky
    assert set(again) == {picture()}  # decoded here, but sent as it was uploaded
    assert gateway.metric("detect_suspected_total") == before + unlucky


def test_a_damaged_picture_is_not_sent_again(gateway: GatewayProcess, backend: FakeBackend) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG data or crop window")

    backend.pictures.clear()
    backend.reply = refuse
    cut_short = picture(640, 480, quality=95)[:-700]
    problem(gateway.http.post("/detect", files=form(cut_short)), 400, "bad-picture")
    assert backend.pictures == [cut_short]


def test_a_picture_that_cannot_be_drawn_is_counted_once_as_rejected(
    gateway: GatewayProcess,
) -> None:
    """The model server answered for it, and its pixels turn out to be damaged."""
    samples = ["detect_images_total", 'detect_rejected_total{reason="bad-picture"}']
    before = [gateway.metric(sample) for sample in samples]
    cut_short = picture(640, 480, quality=95)[:-700]
    response = gateway.http.post("/detect?format=image", files=form(cut_short))
    problem(response, 400, "bad-picture")
    assert [gateway.metric(sample) for sample in samples] == [before[0], before[1] + 1]


def test_a_rejected_parameter_is_counted(gateway: GatewayProcess) -> None:
    counted = 'detect_rejected_total{reason="bad-parameter"}'
    before = gateway.metric(counted)
    gateway.http.post("/detect?score_threshold=2", files=form(picture()))
    gateway.http.post("/detect/batch?max_detections=0", files=form(picture(), picture()))
    gateway.http.get("/livez?x=1")
    assert gateway.metric(counted) == before + 2


@pytest.mark.parametrize("content_type", ["", "image/gif", "text/plain", "application/json"])
def test_another_media_type(gateway: GatewayProcess, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = gateway.http.post("/detect", content=picture(), headers=headers)
    detail = problem(response, 415, "unsupported-media")
    assert "curl -F image=@picture.jpg" in detail


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("score_threshold=1.01", "score_threshold: Input should be less than or equal to 1"),
        ("score_threshold=nan", "score_threshold"),
        ("score_threshold=x", "score_threshold: Input should be a valid number"),
        ("max_detections=0", "max_detections: Input should be greater than or equal to 1"),
        ("max_detections=101", "max_detections: Input should be less than or equal to 100"),
        ("format=xml", "format: Input should be 'json' or 'image'"),
        ("threshold=0.5", "There is no parameter 'threshold' here"),
        ("score_threshold=0.1&score_threshold=0.9", "score_threshold: May be given only once"),
        ("label=", "label"),
    ],
)
def test_bad_parameters(gateway: GatewayProcess, query: str, says: str) -> None:
    response = gateway.http.post(f"/detect?{query}", files=form(picture()))
    assert says in problem(response, 422, "bad-parameter")


def test_bad_forms(gateway: GatewayProcess) -> None:
    post = gateway.http.post
    two = problem(post("/detect", files=form(picture(), picture())), 422, "bad-parameter")
    assert "several parts named 'image'; POST them to /detect/batch" in two
    other = problem(post("/detect", files=form(picture(), name="file")), 422, "bad-parameter")
    assert "a part named 'file'; pictures are parts named 'image'" in other
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for body, status, kind in (
        (b"--b--\r\n", 422, "bad-parameter"),
        (b"--b\r\nContent-Disposition: form-data; name=image\r\n\r\nabc", 400, "malformed-body"),
        (b"no form at all", 400, "malformed-body"),
        (b"", 400, "malformed-body"),
    ):
        problem(post("/detect", content=body, headers=headers), status, kind)
    no_boundary = {"content-type": "multipart/form-data"}
    problem(post("/detect", content=b"--b--", headers=no_boundary), 400, "malformed-body")


def test_a_huge_upload_is_refused_before_it_is_sent(gateway: GatewayProcess) -> None:
    """100 MB announced: the answer comes while nothing of it has been read."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.putrequest("POST", "/detect")
    connection.putheader("content-type", "image/jpeg")
    connection.putheader("content-length", "100000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_an_upload_that_grows_past_the_limit_is_cut_off(gateway: GatewayProcess) -> None:
    """Nothing announced (chunked): refused as soon as there is more than may be."""

    def chunks() -> Iterator[bytes]:
        yield from (b"x" * 65536 for _ in range(5))

    headers = {"content-type": "image/jpeg"}
    response = gateway.http.post("/detect", content=chunks(), headers=headers)
    problem(response, 413, "too-large")


def test_a_client_that_goes_away_while_sending_is_one_line_in_the_log(
    gateway: GatewayProcess,
) -> None:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    before = len(gateway.log())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
            b"Content-Length: 1000\r\n\r\nsome"
        )
        time.sleep(0.1)
    wait_for(lambda: len(gateway.log()) > before)
    time.sleep(0.1)
    # The line of a request before it may come as late.
    lines = [line for line in gateway.log()[before:] if line.get("status") not in (200, 413)]
    assert [(line["event"], line["status"]) for line in lines] == [("request", 499)]


def test_probes_answer_head(gateway: GatewayProcess) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        response = gateway.http.head(path)
        assert (response.status_code, response.content) == (200, b"")
    assert gateway.http.head("/detect").status_code == 405


def test_unknown_paths_and_methods_are_problems_too(gateway: GatewayProcess) -> None:
    assert "/nowhere" in problem(gateway.http.get("/nowhere"), 404, "not-found")
    response = gateway.http.get("/detect")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


# --- batches -------------------------------------------------------------------------------------


def test_a_batch_keeps_its_order_and_a_bad_picture_costs_only_itself(
    gateway: GatewayProcess,
) -> None:
    response = gateway.http.post(
        "/detect/batch", files=form(picture(), b"not a picture", picture(48, 64))
    )
    first, second, third = response.json()["results"]
    assert first == EXPECTED
    assert second["error"]["status"] == 400
    assert second["error"]["request_id"] == response.headers["x-request-id"]
    assert third["image"] == {"width": 48, "height": 64}


def test_a_picture_too_large_costs_only_itself_too(gateway: GatewayProcess) -> None:
    files = form(picture(), picture() + b"x" * LIMIT)
    first, second = gateway.http.post("/detect/batch", files=files).json()["results"]
    assert first == EXPECTED
    assert second["error"]["status"] == 413
    assert f"the limit is {LIMIT}" in second["error"]["detail"]


def test_the_timing_of_a_batch_is_no_sum(gateway: GatewayProcess, backend: FakeBackend) -> None:
    backend.delay_s = 0.1
    response = gateway.http.post("/detect/batch", files=form(*[picture()] * 3))
    backend.delay_s = 0
    parts = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert 100 <= float(parts["backend"]) <= float(parts["total"])


def test_the_log_line_of_a_batch_has_the_first_error_and_how_many(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG")

    backend.reply = refuse
    headers = {"x-request-id": "three-bad"}
    files = form(picture(), picture(kind="GIF"), b"junk")
    gateway.http.post("/detect/batch", files=files, headers=headers)

    def lines() -> list[dict[str, Any]]:
        return [line for line in gateway.log("request") if line["request_id"] == "three-bad"]

    wait_for(lines)
    (found,) = lines()
    assert found["failed"] == 3
    assert "damaged" in found["error"]
    assert found["cause"] == "Invalid JPEG"


def test_batch_limits(gateway: GatewayProcess) -> None:
    post = gateway.http.post
    counted = 'detect_rejected_total{reason="too-large"}'
    before = gateway.metric(counted)
    many = problem(post("/detect/batch", files=form(*[picture()] * 4)), 413, "too-large")
    assert gateway.metric(counted) == before + 1  # the upload as one: no picture was looked at
    assert "more than 3 pictures" in many
    heavy = form(*[b"x" * (LIMIT - 10)] * 3)
    assert f"{2 * LIMIT} bytes" in problem(post("/detect/batch", files=heavy), 413, "too-large")
    raw = {"content-type": "image/jpeg"}
    problem(post("/detect/batch", content=picture(), headers=raw), 415, "unsupported-media")
    problem(post("/detect/batch?format=image", files=form(picture())), 422, "bad-parameter")


def test_a_batch_none_of_which_could_be_served_fails_as_a_whole(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.UNAVAILABLE)

    backend.reply = refuse
    response = gateway.http.post("/detect/batch", files=form(picture(), picture()))
    problem(response, 503, "no-backend")
    assert response.headers["retry-after"] == "1"


# --- the backend ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503, "no-backend"),
        (grpc.StatusCode.NOT_FOUND, 503, "no-backend"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503, "full"),
        (grpc.StatusCode.INTERNAL, 503, "backend-failed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "deadline-exceeded"),
    ],
)
def test_the_backends_troubles(
    gateway: GatewayProcess, backend: FakeBackend, code: grpc.StatusCode, status: int, kind: str
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(code, "secret words")

    backend.reply = refuse
    before = gateway.metric(f'detect_rejected_total{{reason="{kind}"}}')
    response = gateway.http.post("/detect", files=form(picture()))
    assert "secret" not in problem(response, status, kind)
    assert ("retry-after" in response.headers) == (status == 503)
    assert gateway.metric(f'detect_rejected_total{{reason="{kind}"}}') == before + 1


def test_readiness_follows_the_model_and_liveness_does_not(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    assert gateway.http.get("/readyz").json() == {"model": {"name": "yolov4", "version": 3}}
    wait_for(lambda: gateway.metric("detect_backend_ready") == 1)
    backend.state = m.ModelVersionStatus.LOADING
    assert "3: LOADING" in problem(gateway.http.get("/readyz"), 503, "no-backend")
    wait_for(lambda: gateway.metric("detect_backend_ready") == 0)
    assert gateway.http.get("/livez").status_code == 200
    backend.state = m.ModelVersionStatus.AVAILABLE
    wait_for(lambda: gateway.metric("detect_backend_ready") == 1)
    assert gateway.metric('detect_model_info{name="yolov4",version="3"}') == 1


def test_more_than_may_wait_are_refused_and_the_others_answered() -> None:
    with (
        FakeBackend(delay_s=0.3) as slow,
        GatewayProcess(backend=slow.target, max_in_flight=1, max_queue=1) as gateway,
        ThreadPoolExecutor(4) as callers,
    ):
        post = lambda _: gateway.http.post("/detect", files=form(picture()))  # noqa: E731
        responses = list(callers.map(post, range(4)))
        assert sorted(r.status_code for r in responses) == [200, 200, 503, 503]
        refused = next(r for r in responses if r.status_code == 503)
        problem(refused, 503, "full")
        assert refused.headers["retry-after"] == "1"
        assert gateway.metric('detect_rejected_total{reason="full"}') == 2
        assert gateway.metric("detect_in_flight") == 0
        assert gateway.metric("detect_queue_length") == 0


def test_two_large_batches_at_once_are_answered_whole() -> None:
    """A batch takes half of the places, and waits outside of the queue."""
    with (
        FakeBackend(delay_s=0.02) as backend,
        GatewayProcess(backend=backend.target, max_in_flight=4, max_queue=4) as gateway,
        ThreadPoolExecutor(2) as callers,
    ):
        batch = form(*[picture()] * 30)
        post = lambda _: gateway.http.post("/detect/batch", files=batch)  # noqa: E731
        for response in callers.map(post, range(2)):
            assert all("detections" in result for result in response.json()["results"])


def test_pictures_worked_on_here_keep_to_the_budget_too() -> None:
    slow = picture(4500, 4500, "WEBP", quality=50)
    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, max_in_flight=1, deadline_s=0.2) as gateway,
        ThreadPoolExecutor(6) as callers,
    ):

        def post(_: int) -> tuple[httpx.Response, float]:
            started = time.perf_counter()
            response = gateway.http.post("/detect", files=form(slow))
            return response, time.perf_counter() - started

        for response, seconds in callers.map(post, range(6)):
            detail = problem(response, 504, "deadline-exceeded")
            assert "-" not in detail
            assert seconds < 5  # one after the other they would take that


def test_the_budget_covers_waiting() -> None:
    with (
        FakeBackend(delay_s=1) as slow,
        GatewayProcess(backend=slow.target, max_in_flight=1, deadline_s=0.4) as gateway,
        ThreadPoolExecutor(2) as callers,
    ):
        post = lambda _: gateway.http.post("/detect", files=form(picture()))  # noqa: E731
        for response in callers.map(post, range(2)):
            problem(response, 504, "deadline-exceeded")


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


def test_the_document_declares_every_status_and_kind_of_body(gateway: GatewayProcess) -> None:
    document = gateway.http.get("/openapi.json").json()
    detect = document["paths"]["/detect"]["post"]
    assert set(detect["responses"]) == {"200", "400", "408", "413", "415", "422", "503", "504"}
    assert set(detect["responses"]["200"]["content"]) == {"application/json", "image/jpeg"}
    assert set(detect["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/jpeg",
        "image/png",
        "image/webp",
        "application/octet-stream",
    }
    names = {p["name"] for p in detect["parameters"]}
    assert names == {"score_threshold", "max_detections", "label", "format", "X-Timeout-Ms"}
    batch = document["paths"]["/detect/batch"]["post"]
    assert set(batch["responses"]) == {"200", "400", "408", "413", "415", "422", "503", "504"}
    assert set(document["paths"]["/readyz"]["get"]["responses"]) == {"200", "503", "504"}
    assert "Problem" in document["components"]["schemas"]
    for response in detect["responses"].values():
        assert "HTTPValidationError" not in str(response)
    assert gateway.http.get("/docs").status_code == 200
