"""Odd forms, queries, Accept headers and methods: never a 5xx, each 4xx says what to do."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

PICTURE = picture()
FORM = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as process:
        yield process
        for sample in ("detect_held_bytes", "detect_in_flight", "detect_queue_length"):
            wait_for(lambda: process.metric(sample) == 0)  # noqa: B023
        assert [line for line in process.log("request") if line["status"] >= 500] == []


def part(disposition: str = 'form-data; name="image"; filename="a.jpg"', more: str = "") -> bytes:
    head = f"--b\r\nContent-Disposition: {disposition}{more}\r\n\r\n"
    return head.encode("latin-1") + PICTURE + b"\r\n"


END = b"--b--\r\n"
WHOLE = part() + END
# Each: body, Content-Type, expected status, words of the sentence.
FORMS: dict[str, tuple[bytes, str, int, str]] = {
    "without the last line end": (part() + b"--b--", FORM, 200, ""),
    "with an epilogue": (WHOLE + b"junk", FORM, 200, ""),
    "with a preamble": (b"hello\r\n" + WHOLE, FORM, 200, ""),
    "quoted boundary": (WHOLE, 'multipart/form-data; boundary="b"', 200, ""),
    "BOUNDARY": (WHOLE, "Multipart/Form-Data; BOUNDARY=b", 200, ""),
    "line feeds only": (WHOLE.replace(b"\r\n", b"\n"), FORM, 400, "line break"),
    "no end": (part(), FORM, 400, "Unexpected end"),
    "half an end": (part() + b"--b-", FORM, 400, "Unexpected end"),
    "boundary in the picture": (part() + b"--b\r\nfoo\r\n\r\n" + END, FORM, 400, "header"),
    "longer boundary": (WHOLE.replace(b"--b", b"--bb"), FORM, 400, "first boundary"),
    "other boundary last": (WHOLE, f"{FORM}; boundary=c", 400, "Unexpected end"),
    "boundary beyond ASCII": (WHOLE, "multipart/form-data; boundary=é", 400, "boundary"),
    "no name": (part("form-data") + END, FORM, 422, "a part without a name"),
    "empty name": (part('form-data; name=""') + END, FORM, 422, "a part without a name"),
    "name*": (part("form-data; name*=utf-8''image") + END, FORM, 422, "without a name"),
    "two names": (part('form-data; name="image"; name="x"') + END, FORM, 422, "named 'x'"),
    "other case": (part('form-data; name="Image"') + END, FORM, 422, "named 'Image'"),
    "PHP's brackets": (part('form-data; name="image[]"') + END, FORM, 422, "named 'image[]'"),
    "NUL in the name": (part('form-data; name="image\0"') + END, FORM, 422, r"'image\x00'"),
    "UTF-8 name": (part('form-data; name="gr\xc3\xb6\xc3\x9fe"') + END, FORM, 422, "'größe'"),
    "Latin-1 name": (part('form-data; name="gr\xf6\xdfe"') + END, FORM, 422, "part named"),
    "_charset_": (part('form-data; name="_charset_"') + END, FORM, 422, "'_charset_'"),
    "Latin-1 file name": (
        part('form-data; name="image"; filename="\xe9.jpg"') + END,
        FORM,
        200,
        "",
    ),
    "filename*": (
        part("form-data; name=image; filename*=utf-8''%e2%82%ac.jpg") + END,
        FORM,
        200,
        "",
    ),
    "broken filename*": (
        part("form-data; name=image; filename*=no-such''%zz") + END,
        FORM,
        200,
        "",
    ),
    "folded header": (part(more=";\r\n filename=x") + END, FORM, 200, ""),
    "no disposition": (b"--b\r\nX: y\r\n\r\nz\r\n" + END, FORM, 400, "Content-Disposition"),
    "attachment": (part('attachment; name="image"') + END, FORM, 400, "Content-Disposition"),
    "header without a colon": (part(more="\r\nfoo") + END, FORM, 400, "header"),
    "header with a space": (part(more="\r\nFoo Bar: x") + END, FORM, 400, "header name"),
    "nine headers": (part(more="\r\nX: y" * 9) + END, FORM, 413, "8 headers of 4 KiB"),
    "huge header": (part(more="\r\nX: " + "y" * 100_000) + END, FORM, 413, "8 headers of 4 KiB"),
    "second encoding": (
        part(more="\r\nContent-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: base64")
        + END,
        FORM,
        415,
        "'base64'; send the picture's bytes as they are",
    ),
    "part's length too small": (part(more="\r\nContent-Length: 5") + END, FORM, 400, "Length"),
    "part's length negative": (part(more="\r\nContent-Length: -1") + END, FORM, 400, "Length"),
    "part's length huge": (
        part(more=f"\r\nContent-Length: {10**20}") + END,
        FORM,
        413,
        "it may have",
    ),
    "multipart/mixed": (WHOLE, "multipart/mixed; boundary=b", 415, "send multipart/form-data"),
    "urlencoded": (b"image=x", "application/x-www-form-urlencoded", 415, "multipart/form-data"),
    "plain text": (b"x", "text/plain", 415, "multipart/form-data"),
    "two types in one": (PICTURE, "image/jpeg, image/png", 415, "'image/jpeg, image/png'"),
    "any image": (PICTURE, "image/*", 415, "'image/*'"),
    "semicolons": (PICTURE, ";;;=,", 415, "no Content-Type"),
}


def sentence(response: httpx.Response) -> str:
    if response.status_code == 200:
        return ""
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 3_000
    return str(response.json()["detail"])


@pytest.mark.parametrize("path", ["/detect", "/detect/batch"])
@pytest.mark.parametrize("name", FORMS)
def test_forms(gateway: GatewayProcess, name: str, path: str) -> None:
    body, content_type, status, words = FORMS[name]
    headers = {"Content-Type": content_type.encode("latin-1")}
    response = gateway.http.post(path, content=body, headers=headers)  # type: ignore[arg-type]
    assert response.status_code == status, response.text
    assert words in sentence(response)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("score_threshold=%2B0.5", ""),
        ("score_threshold=5e-1", ""),
        ("score_threshold=1e-400", ""),
        ("score_threshold=-0", ""),
        ("%73core_threshold=1", ""),
        ("max_detections=5.0", ""),
        ("label=a&label=a", ""),
        ("label=%00", ""),
        ("label=%ff", ""),
        ("&&&", ""),
        ("score_threshold=0.1&score_threshold=0.1", "score_threshold: May be given only once."),
        ("format=image&format=json", "format: May be given only once."),
        ("score_threshold=NaN", "score_threshold: Input should be"),
        ("score_threshold=1e400", "less than or equal to 1"),
        ("score_threshold=infinity", "less than or equal to 1"),
        ("score_threshold=%D9%A0.%D9%A5", "valid number"),
        ("score_threshold=0x1p-1", "valid number"),
        ("score_threshold=0,5", "valid number"),
        ("score_threshold", "valid number"),
        ("score_threshold=0.5;max_detections=1", "valid number"),
        ("max_detections=%D9%A5", "valid integer"),
        ("max_detections=5.5", "valid integer"),
        ("max_detections=1" + "0" * 5000, "max_detections: Unable to parse"),
        ("format=JSON", "format: Input should be 'json', 'image' or 'roboflow'"),
        ("labels=dog", "no parameter 'labels' here, only score_threshold, max_detections, label"),
        ("label[]=dog", "no parameter 'label[]'"),
        ("=x", "no parameter ''"),
        ("a" * 3000 + "=1", "no parameter 'aaa"),
        ("&".join(f"a{i}=1" for i in range(3000)), "no parameter 'a0'"),
    ],
)
def test_queries(gateway: GatewayProcess, query: str, words: str) -> None:
    response = gateway.http.post(f"/detect?{query}", files={"image": PICTURE})
    assert response.status_code == (422 if words else 200), response.text
    assert words in sentence(response)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        # Firefox, Chrome's <img>, curl, Java's URLConnection, a program that wants JPEG.
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "application/json"),
        ("*/*", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "image/jpeg"),
        ("image/jpeg", "image/jpeg"),
        ("application/problem+json", "application/json"),
        ("image/jpeg;q=0, */*", "application/json"),
        ("image/jpeg;q=1e5", "application/json"),
        (";;;,,,", "application/json"),
        ("x" * 3000, "application/json"),
        ("image/jpeg," * 2000, "image/jpeg"),
    ],
)
def test_accept_headers(gateway: GatewayProcess, accept: str, media_type: str) -> None:
    response = gateway.http.post("/detect", files={"image": PICTURE}, headers={"Accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize("path", ["/detect", "/detect/batch"])
def test_methods(gateway: GatewayProcess, method: str, path: str) -> None:
    response = gateway.http.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["content-type"] == "application/problem+json"
