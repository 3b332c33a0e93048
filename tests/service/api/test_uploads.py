"""A body as pictures: forms that were made to hurt."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_backend import FakeBackend
from tests.support.gateway_process import GatewayProcess
from tests.support.pictures import picture

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
NESTED = b"\r\nContent-Type: multipart/mixed; boundary=c\r\n"
BOMBS = {
    "ten-thousand-parts": (part() * 10_000 + END, FORM),
    "empty-parts": (b"--b\r\n\r\n\r\n" * 100_000 + END, FORM),
    "boundaries": (b"--b\r\n" * 700_000 + END, FORM),
    "head-of-a-megabyte": (part(head=b'; filename="' + b"a" * 1_000_000 + b'"') + END, FORM),
    "many-heads": (part(head=b"\r\nX: y" * 500_000) + END, FORM),
    "head-without-end": (b"--b\r\n" + b"X" * 3_000_000, FORM),
    "nested": (part(b"--c\r\n\r\n" * 300_000, NESTED[:-2]) + END, FORM),
    "nearly-boundaries": (part(b"\r\n--" * 800_000) + END, FORM),
    "preamble": (b"--" * 1_900_000, FORM),
    "other-name": (part(name=b"x" * 3_000) + END, FORM),
    "no-boundary": (part() + END, "multipart/form-data"),
    "empty-boundary": (part() + END, 'multipart/form-data; boundary=""'),
    "long-boundary": (
        b"--" + b"b" * 8_000 + b"\r\n",
        "multipart/form-data; boundary=" + "b" * 8_000,
    ),
    "other-boundary": (part() + END, "multipart/form-data; boundary=c"),
    "many-options": (part() + END, "multipart/form-data" + '; a="\\' * 4_000),
    "many-spaces": (part() + END, "multipart/form-data;" + " " * 20_000 + "=;" * 4_000),
}


@pytest.mark.parametrize("path", ["/detect", "/detect/batch"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_form_that_was_made_to_hurt(gateway: GatewayProcess, name: str, path: str) -> None:
    body, content_type = BOMBS[name]
    before = peak_mb(gateway)
    begun = time.monotonic()
    answer = gateway.http.post(path, content=body, headers={"Content-Type": content_type})
    assert time.monotonic() - begun < 5
    if answer.status_code == 200:  # of a batch; then the picture itself is refused
        assert [r["error"]["status"] for r in answer.json()["results"]] == [400]
    else:
        assert answer.status_code in (400, 413, 422)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 10_000
    assert peak_mb(gateway) - before < 6 * LIMIT / 1e6
    assert gateway.http.get("/livez").status_code == 200
