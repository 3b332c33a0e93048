"""Request bodies: hostile forms, encodings and media types."""

import asyncio
import os
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from service.api.requests import uploads
from service.api.requests.memory_budget import MemoryBudget, Reservation
from service.settings import Settings
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

LIMIT = 4_000_000
FORM = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with (
        FakeBackend() as backend,
        GatewayProcess(
            backend=backend.target, max_upload_bytes=LIMIT, max_batch_bytes=LIMIT
        ) as process,
    ):
        process.http.post("/detect", files={"image": picture()})
        yield process


def peak_mb(gateway: GatewayProcess) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{gateway.process.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def part(data: bytes = b"x", head: bytes = b"", name: bytes = b"image") -> bytes:
    return (
        b"--b\r\nContent-Disposition: form-data; name=" + name + head + b"\r\n\r\n" + data + b"\r\n"
    )


END = b"--b--\r\n"
BOTH = ("malformed-body", "malformed-body")
BAD_PICTURE = "urn:problem:bad-picture"
ALONE = "of the picture alone"  # the batch is answered, its one picture with an error
NESTED = b"\r\nContent-Type: multipart/mixed; boundary=c\r\n"
# name: (body, Content-Type, type of the problem from /detect, from /detect/batch)
BOMBS = {
    "ten-thousand-parts": (part() * 10_000 + END, FORM, "bad-parameter", "too-large"),
    "empty-parts": (b"--b\r\n\r\n\r\n" * 100_000 + END, FORM, *BOTH),
    "boundaries": (b"--b\r\n" * 700_000 + END, FORM, *BOTH),
    "header-of-a-megabyte": (
        part(head=b'; filename="' + b"a" * 1_000_000 + b'"') + END,
        FORM,
        "too-large",
        "too-large",
    ),
    "many-headers": (part(head=b"\r\nX: y" * 500_000) + END, FORM, "too-large", "too-large"),
    "header-without-end": (b"--b\r\n" + b"X" * 3_000_000, FORM, "too-large", "too-large"),
    "nested": (part(b"--c\r\n\r\n" * 300_000, NESTED[:-2]) + END, FORM, "bad-picture", ALONE),
    "nearly-boundaries": (part(b"\r\n--" * 800_000) + END, FORM, "bad-picture", ALONE),
    "preamble": (b"--" * 1_900_000, FORM, *BOTH),
    "other-name": (part(name=b"x" * 3_000) + END, FORM, "bad-parameter", "bad-parameter"),
    "no-boundary": (part() + END, "multipart/form-data", *BOTH),
    "empty-boundary": (part() + END, 'multipart/form-data; boundary=""', *BOTH),
    "long-boundary": (
        b"--" + b"b" * 8_000 + b"\r\n",
        "multipart/form-data; boundary=" + "b" * 8_000,
        *BOTH,
    ),
    "other-boundary": (part() + END, "multipart/form-data; boundary=c", *BOTH),
    "many-options": (part() + END, "multipart/form-data" + '; a="\\' * 4_000, *BOTH),
    "many-spaces": (
        part() + END,
        "multipart/form-data;" + " " * 20_000 + "=;" * 4_000,
        *BOTH,
    ),
}


@pytest.mark.parametrize("path", ["/detect", "/detect/batch"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_form(gateway: GatewayProcess, name: str, path: str) -> None:
    body, content_type, alone, batch = BOMBS[name]
    before = peak_mb(gateway)
    begun = time.monotonic()
    response = gateway.http.post(path, content=body, headers={"Content-Type": content_type})
    assert time.monotonic() - begun < 5
    kind = alone if path == "/detect" else batch
    if kind == ALONE:
        assert response.status_code == 200
        assert [r["error"]["type"] for r in response.json()["results"]] == [BAD_PICTURE]
    else:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == f"urn:problem:{kind}"
        assert len(response.content) < 10_000
    assert peak_mb(gateway) - before < 6 * LIMIT / 1e6
    assert gateway.http.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("headers", "part_headers", "status", "says"),
    [
        ({"Content-Encoding": "gzip"}, b"", 415, "Content-Encoding is 'gzip'"),
        ({"Content-Encoding": "identity"}, b"", 200, ""),
        ({}, b"\r\nContent-Transfer-Encoding: base64", 415, "Transfer-Encoding 'base64'"),
        ({}, b"\r\nContent-Transfer-Encoding: Quoted-Printable", 415, "as they are"),
        ({}, b"\r\nContent-Transfer-Encoding: BINARY", 200, ""),
        ({}, b"\r\nContent-Transfer-Encoding: 8bit", 200, ""),
    ],
)
def test_an_encoding_is_rejected_not_ignored(
    gateway: GatewayProcess, headers: dict[str, str], part_headers: bytes, status: int, says: str
) -> None:
    content = part(picture(), part_headers) + END
    response = gateway.http.post(
        "/detect", content=content, headers=headers | {"Content-Type": FORM}
    )
    assert response.status_code == status
    assert says in response.json().get("detail", "")


@pytest.mark.parametrize("media_type", ["image/jpg", "application/octet-stream", "IMAGE/JPEG"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_bytes_of_a_raw_body_say_which_kind_of_picture_it_is(
    gateway: GatewayProcess, media_type: str, kind: str
) -> None:
    headers = {"Content-Type": media_type}
    response = gateway.http.post("/detect", content=picture(kind=kind), headers=headers)
    assert response.json()["image"] == {"width": 64, "height": 48}


def test_two_content_types_are_rejected(gateway: GatewayProcess) -> None:
    headers = [("Content-Type", "image/jpeg"), ("Content-Type", "text/plain")]
    response = gateway.http.post("/detect", content=picture(), headers=headers)
    assert response.status_code == 400
    assert "2 Content-Type headers" in response.json()["detail"]


BASE64 = b64encode(picture()).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_a_picture_in_base64(gateway: GatewayProcess, prefix: str) -> None:
    response = gateway.http.post("/detect", json={"image": prefix + BASE64})
    assert response.json()["image"] == {"width": 64, "height": 48}


@pytest.mark.parametrize(
    ("body", "status", "kind", "says"),
    [
        (b"", 400, "malformed-body", "not JSON"),
        (b"[" * 3_000_000, 400, "malformed-body", "recursion limit"),
        (b"[]", 400, "malformed-body", "not an object"),
        (b"{}", 400, "malformed-body", "neither `image` nor `data`"),
        (b'{"image": null}', 400, "malformed-body", "must be a picture in base64"),
        (b'{"image": "eHg=", "score_threshold": 1}', 422, "bad-parameter", "URL's query"),
        (b'{"image": ""}', 400, "bad-picture", "empty"),
        (b'{"image": "eHg="}', 400, "bad-picture", "2 bytes are not a picture"),
        (b'{"image": "\\u0660"}', 400, "malformed-body", "not base64"),
        (b'{"image": "' + b"x" * 6_000_000 + b'"}', 413, "too-large", "The limit is"),
        (b'{"image": "' + b"AAAA" * 1_340_000 + b'"}', 413, "too-large", "the limit is"),
    ],
    ids=range(11),
)
def test_json_without_a_picture(
    gateway: GatewayProcess, body: bytes, status: int, kind: str, says: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = gateway.http.post("/detect", content=body, headers=headers)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:problem:{kind}")
    assert says in response.json()["detail"]


def test_others_have_their_turn_while_a_large_form_is_parsed() -> None:
    """64 MiB of pictures stalled the event loop for 100 ms."""
    asyncio.run(_parse_beside_others())


async def _parse_beside_others() -> None:
    pictures = [os.urandom(3 * uploads.PIECE), os.urandom(2 * uploads.PIECE)]
    body = part(pictures[0]) + part(pictures[1]) + END
    messages = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    turns = 0

    async def receive() -> dict[str, Any]:
        piece = messages.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(messages)}

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += not messages
            await asyncio.sleep(0)

    headers = [(b"content-type", FORM.encode())]
    scope = {"type": "http", "method": "POST", "headers": headers, "state": {}}
    settings = Settings(max_batch_bytes=len(body))
    counting = asyncio.create_task(count_turns())
    with Reservation(MemoryBudget(10 * len(body))) as reservation:
        request = Request(scope, receive)
        assert await uploads.read_images(request, settings, reservation) == pictures
    counting.cancel()
    assert turns > len(body) // uploads.PIECE
