"""The worst mix of pictures, in a real memory cgroup of 1 GiB, as compose gives the gateway."""

import io
import os
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.gateway_process import GatewayProcess

CGROUPS = Path("/sys/fs/cgroup/memory")  # version 1
GIB = 2**30
CLIENTS = 40
SECONDS = 60.0


@pytest.fixture
def cgroup() -> Iterator[Path]:
    folder = CGROUPS / f"gateway-memory-test-{os.getpid()}"
    try:
        folder.mkdir(exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(str(GIB))
    except OSError as error:
        pytest.skip(f"needs root and memory cgroups of version 1: {error}")
    yield folder
    folder.rmdir()


def photo(width: int, height: int, kind: str = "JPEG", **save: object) -> bytes:
    """Noise, stored on its side."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    noise = Image.effect_noise((1000, 750), 60).convert("RGB").resize((width, height))
    noise.save(out, kind, exif=exif.tobytes(), **save)
    return out.getvalue()


def keep_asking(url: str, pictures: list[tuple[str, bytes]], first: int, until: float) -> None:
    """Any answer is right here, and a connection that an early refusal closes: only life counts."""
    while time.monotonic() < until:
        path, data = pictures[first % len(pictures)]
        first += 1
        connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            media_type = "image/webp" if data.startswith(b"RIFF") else "image/jpeg"
            connection.request("POST", path, data, {"Content-Type": media_type})
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 4, 16])
def test_the_gateway_stays_within_a_gibibyte(threads: int, cgroup: Path) -> None:
    drawn = "/detect?format=image"
    pictures = [
        (drawn, photo(8660, 5773)),
        (drawn, photo(8660, 5773, progressive=True, subsampling=0)),
        ("/detect", photo(6000, 4000)),
        (drawn, photo(4032, 3024)),
        ("/detect", photo(16_000, 3000)),
        (drawn, photo(4500, 4500, "WEBP")),
        ("/detect", photo(640, 480) + bytes(15_000_000)),
    ]
    with (
        FakeBackend(delay_s=0.1) as backend,
        GatewayProcess(backend=backend.target, picture_threads=threads, deadline_s=10) as gateway,
    ):
        (cgroup / "cgroup.procs").write_text(str(gateway.process.pid))
        (cgroup / "memory.max_usage_in_bytes").write_text("0")
        until = time.monotonic() + SECONDS
        clients = [
            threading.Thread(target=keep_asking, args=(gateway.url, pictures, number, until))
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        peak = int((cgroup / "memory.max_usage_in_bytes").read_text())
        assert gateway.process.poll() is None
        assert gateway.metric("detect_images_total") > 0
        assert peak < 0.9 * GIB
