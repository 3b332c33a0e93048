"""AVIF and HEIC: decoded upright, in a process whose memory is limited."""

import io
import subprocess
import sys
import time
from typing import Any

import pytest
from PIL import Image

from service.core.errors import BadPicture, DeadlineExceeded
from service.detection.imaging import isolated, pixels
from service.detection.imaging.image import (
    AVIF,
    HEIF,
    Header,
    check_pixels,
    open_image,
    pillow_header,
)
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT

if HEIF:  # these tests write HEIC
    import pillow_heif

    pillow_heif.register_heif_opener()
KINDS = [
    pytest.param("AVIF", marks=pytest.mark.skipif(not AVIF, reason="Pillow without AVIF")),
    pytest.param("HEIF", marks=pytest.mark.skipif(not HEIF, reason="pillow-heif is missing")),
]


def soon() -> float:
    return time.perf_counter() + 60


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_upright_once(kind: str, orientation: int) -> None:
    """HEIC's own rotation is the decoder's, AVIF's is ours: never both, never none."""
    data = picture(160, 96, kind, orientation=orientation)
    header = pillow_header(data)
    assert (header.format, header.as_is) == (kind, False)
    jpeg = isolated.to_jpeg(data, header, soon())
    expected = decoded(
        isolated.to_jpeg(picture(160, 96, kind), Header(kind, 160, 96, 1, 0), soon()).data
    )
    turn = pixels.TURNS.get(orientation)
    expected = expected.transpose(turn) if turn is not None else expected
    assert (jpeg.width, jpeg.height) == expected.size == decoded(jpeg.data).size
    for at in ((8, 8), (expected.width - 9, 8), (8, expected.height - 9)):
        seen, wanted = decoded(jpeg.data).getpixel(at), expected.getpixel(at)
        assert all(abs(a - b) < 40 for a, b in zip(seen, wanted, strict=True)), at  # type: ignore[arg-type]


@pytest.mark.skipif(not AVIF, reason="Pillow without AVIF")
def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue", "lime")]
    out = io.BytesIO()
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:])
    jpeg = isolated.to_jpeg(out.getvalue(), pillow_header(out.getvalue()), soon())
    red, green, blue = decoded(jpeg.data).getpixel((20, 20))  # type: ignore[misc]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_other_modes(kind: str, mode: str) -> None:
    data = picture(64, 48, kind, mode)
    jpeg = isolated.to_jpeg(data, pillow_header(data), soon())
    assert decoded(jpeg.data).size == (64, 48)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_larger_than_its_header_says_does_not_get_the_memory(kind: str) -> None:
    """Some kilobytes that decode to millions of pixels, in a file that says 64 x 48."""
    side = 7000 if kind == "AVIF" else 2800  # libavif keeps 1.5 bytes per pixel, libheif more
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(
        out, kind, **({"speed": 10} if kind == "AVIF" else {})
    )
    data = out.getvalue()
    assert len(data) < 2_000_000
    size = b"ispe" + bytes(4)
    lying = data.replace(
        size + side.to_bytes(4, "big") * 2,
        size + (64).to_bytes(4, "big") + (48).to_bytes(4, "big"),
    )
    try:
        header = pillow_header(lying)
    except BadPicture:
        return  # refused even earlier
    assert (header.width, header.height) == (64, 48)
    with pytest.raises(BadPicture, match="damaged, or larger than its header says"):
        isolated.to_jpeg(lying, header, soon())


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_and_late(kind: str) -> None:
    data = picture(640, 480, kind)
    header = pillow_header(data)
    with pytest.raises(BadPicture):
        isolated.to_jpeg(data[: len(data) * 2 // 3], header, soon())
    with pytest.raises(DeadlineExceeded):
        isolated.to_jpeg(data, header, time.perf_counter() + 0.001)
    with pytest.raises(BadPicture, match="a damaged"):
        open_image(data[:40])
    assert pixels.decoding_bytes(header) > 64 * 1024 * 1024
    check_pixels(header, 640 * 480)


@pytest.mark.parametrize("kind", KINDS)
def test_through_the_gateway(kind: str) -> None:
    """As detections and drawn; the model server gets an upright JPEG."""
    data = picture(160, 96, kind, orientation=6)
    media_type = {"HEIF": "image/heic"}.get(kind, "image/avif")
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        post = gateway.http.post
        response = post("/detect", content=data, headers={"Content-Type": media_type})
        assert response.json()["image"] == {"width": 96, "height": 160}
        assert Image.open(io.BytesIO(backend.pictures[0])).format == "JPEG"
        assert Image.open(io.BytesIO(backend.pictures[0])).size == (96, 160)
        drawn = post("/detect?format=image", files={"image": data})
        assert Image.open(io.BytesIO(drawn.content)).size == (96, 160)
        damaged = post("/detect", files={"image": data[: len(data) * 2 // 3]})
        assert (damaged.status_code, damaged.json()["type"]) == (400, "urn:problem:bad-picture")


@pytest.mark.skipif(not HEIF, reason="pillow-heif is missing")
def test_without_pillow_heif_the_format_is_named() -> None:
    code = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from service.detection.imaging.image import open_image\n"
        "open_image(sys.stdin.buffer.read())"
    )
    heic = picture(64, 48, "HEIF")
    done = subprocess.run([sys.executable, "-c", code], input=heic, capture_output=True, cwd=ROOT)
    last = done.stderr.decode().splitlines()[-1]
    assert last.endswith(
        "UnsupportedMedia: The picture is a HEIC, which is read only where pillow-heif is"
        " installed; send JPEG, PNG, WebP or AVIF."
    )


def test_a_large_webp_too_and_upright() -> None:
    """Pillow's decoder holds the GIL for 4 bytes a pixel: the event loop stalled for 50 ms."""
    assert not Header("WEBP", 2000, 2000, 1, 0).isolated
    data = picture(2001, 2000, "WEBP", orientation=6)
    header = pillow_header(data)
    assert header.isolated
    jpeg = isolated.to_jpeg(data, header, soon())
    shown = decoded(jpeg.data)
    assert shown.size == (jpeg.width, jpeg.height) == (2000, 2001)
    here = decoded(pixels.normalize_orientation(data, header).data)
    for at in ((8, 8), (1990, 8), (8, 1990)):
        assert shown.getpixel(at) == here.getpixel(at)


def test_the_process_does_not_get_the_gateways_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECT_API_KEYS_FILE", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    seen = []
    run = subprocess.run

    def watched(command: list[str], **options: Any) -> Any:
        seen.append(options["env"])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    data = picture(2001, 2000, "WEBP")
    isolated.to_jpeg(data, pillow_header(data), soon())
    assert seen[0].keys() <= {"LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "MALLOC_ARENA_MAX"}
    assert seen[0]["LD_LIBRARY_PATH"] == "/somewhere"
