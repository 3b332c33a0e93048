"""Requests that are rejected: pictures, forms, parameters, media types, sizes."""

import http.client
import io
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.support.callers.http_contract import EXPECTED, LIMIT, form, problem
from tests.support.inputs.pictures import header_only, picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

pytestmark = pytest.mark.usefixtures("usual_answers")


@pytest.mark.parametrize(
    ("data", "status", "kind", "says"),
    [
        (b"", 400, "bad-picture", "empty"),
        (b"not a picture", 400, "bad-picture", "13 bytes are not a picture"),
        (picture()[:30], 400, "bad-picture", "picture"),
        (header_only(0, 0), 400, "bad-picture", "picture"),
        (header_only(30_000, 30_000), 413, "too-large", "30000 x 30000"),
        (picture(kind="GIF"), 415, "unsupported-media", "a GIF; send JPEG, PNG, WebP"),
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


def long_side(orientation: int) -> bytes:
    return picture(70_000, 10, "PNG", orientation=orientation)


def palette_without_colours() -> bytes:
    """A PNG with tRNS and no PLTE: Pillow raises an AssertionError."""
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "PNG", transparency=0)
    data = out.getvalue()
    at = data.index(b"PLTE") - 4
    (length,) = struct.unpack_from(">I", data, at)
    return data[:at] + data[at + 12 + length :]


@pytest.mark.parametrize("query", ["", "?format=image"])
@pytest.mark.parametrize(
    ("data", "status", "drawn"),
    [
        (long_side(1), 200, 413),
        (long_side(6), 413, 413),
        (palette_without_colours(), 200, 400),
        (picture(kind="PNG")[:60], 200, 400),
    ],
    ids=["long", "long-turned", "no-palette", "cut"],
)
def test_pictures_that_crashed_pillow_or_its_encoder(
    gateway: GatewayProcess, data: bytes, status: int, drawn: int, query: str
) -> None:
    """The fake model server answers for anything, so that without drawing most are a 200."""
    response = gateway.http.post(f"/detect{query}", files=form(data))
    assert response.status_code == (drawn if query else status), response.text
    if not query:
        files = form(picture(), data, picture())
        first, second, third = gateway.http.post("/detect/batch", files=files).json()["results"]
        assert first == third == EXPECTED
        assert second.get("error", {"status": 200})["status"] == status


def test_a_rejected_parameter_is_counted(gateway: GatewayProcess) -> None:
    counted = 'detect_rejected_total{reason="bad-parameter"}'
    before = gateway.metric(counted)
    gateway.http.post("/detect?score_threshold=2", files=form(picture()))
    gateway.http.post("/detect/batch?max_detections=0", files=form(picture(), picture()))
    gateway.http.get("/livez?x=1")
    assert gateway.metric(counted) == before + 2


@pytest.mark.parametrize("content_type", ["", "image/gif", "text/plain"])
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
        ("format=xml", "format: Input should be 'json', 'image' or 'roboflow'"),
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


def test_a_huge_upload_is_rejected_before_it_is_sent(gateway: GatewayProcess) -> None:
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


def test_a_disconnect_during_the_upload_is_one_log_line(
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


def test_unknown_paths_and_methods_are_problem_documents(gateway: GatewayProcess) -> None:
    assert "/nowhere" in problem(gateway.http.get("/nowhere"), 404, "not-found")
    response = gateway.http.get("/detect")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"
