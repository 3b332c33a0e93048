"""JSON bodies and base64: what is accepted, and the limits of time and memory."""

import asyncio
import base64
import random

import pytest

from service.api.dialects.json_body import INLINE, PIECE, decode_base64, parse_json
from service.core.errors import MalformedBody
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.bombs import json_bombs
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

BYTES = random.Random(1).randbytes(2 * PIECE)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, INLINE, PIECE * 3 // 4, len(BYTES)])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
@pytest.mark.parametrize("padded", [True, False])
def test_every_usual_base64_is_decoded(size: int, encode: object, padded: bool) -> None:
    assert callable(encode)
    data = BYTES[:size]
    text = encode(data).decode()
    text = text if padded else text.rstrip("=\n")
    assert asyncio.run(decode_base64(text, "data")) == data
    assert asyncio.run(decode_base64(f"data:image/jpeg;base64,{text}", "data")) == data


@pytest.mark.parametrize("at", [0, PIECE // 2, 2 * PIECE, -2])
@pytest.mark.parametrize("wrong", ["*", "é", "=A=="])
def test_what_is_not_base64_is_refused_wherever_it_stands(at: int, wrong: str) -> None:
    text = base64.b64encode(BYTES).decode()
    with pytest.raises(MalformedBody, match="data is not base64"):
        asyncio.run(decode_base64(text[:at] + wrong + text[at:], "data"))


@pytest.mark.parametrize("name", json_bombs(64))
def test_json_of_millions_of_values_is_refused(name: str) -> None:
    body = json_bombs(2_000_000)[name]
    if name == "spaced base64":
        assert asyncio.run(parse_json(body))
        return
    with pytest.raises(MalformedBody, match="send pictures in base64 and little else"):
        asyncio.run(parse_json(body))


def test_sixty_four_data_urls_with_escapes_are_accepted() -> None:
    row = b'{"b64":"data:image\\/jpeg;base64,' + 1000 * (b"A" * 64 + b"\\/") + b'"}'
    content = asyncio.run(parse_json(b'{"instances":[' + b",".join([row] * 64) + b"]}"))
    assert len(content["instances"]) == 64


def test_no_json_takes_more_memory_than_its_pictures_may() -> None:
    """Was 1,195 MB for 40 MiB of `{},`, and 764 MB for base64 with a space after each pair."""
    plain = b'{"instances":[{"b64":"%b"}]}' % base64.b64encode(picture() + bytes(15_000_000))
    path, headers = "/v1/models/yolov4:predict", {"Content-Type": "application/json"}
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        assert gateway.http.post(path, content=plain, headers=headers).status_code == 200
        most = gateway.peak_mb()
        for name, bomb in json_bombs(20_000_000).items():
            assert gateway.http.post(path, content=bomb, headers=headers).status_code == 400
            assert gateway.peak_mb() < most + 30, name
