"""Pictures over the pixel limit, scaled on decode: boxes in pixels of the upload as shown."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.support.fakes.fake_backend import FakeBackend, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

LIMIT = 200_000
BUDGET = 16 * 2**20  # bytes


def finds_the_white_square(data: bytes) -> Any:
    """A model whose only detection is the square, in pixels of the picture it gets."""
    with Image.open(io.BytesIO(data)) as image:
        red, green, blue = image.convert("RGB").split()
    white = ImageChops.darker(ImageChops.darker(red, green), blue)
    box = white.point(lambda value: 255 * (value > 142)).getbbox()
    assert box is not None
    return answer([("square", 4, 0.9, box)])


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(finds_the_white_square) as server:
        yield server


@pytest.fixture(scope="module")
def unlimited(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(backend=backend.target) as process:
        yield process


@pytest.fixture(scope="module")
def scaling(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target, max_pixels=LIMIT, downscale="on", max_pixel_bytes=BUDGET
    ) as process:
        yield process


def detect(gateway: GatewayProcess, data: bytes) -> tuple[dict[str, int], dict[str, float]]:
    """The picture's size and the box of the square."""
    response = gateway.http.post("/detect", files={"image": data})
    assert response.status_code == 200, response.text
    content = response.json()
    (detection,) = content["detections"]
    return content["image"], detection["box"]


@pytest.mark.parametrize(
    ("size", "by", "mode", "save"),
    [
        ((800, 600), 2, "RGB", {}),
        ((801, 599), 2, "L", {"progressive": True}),
        ((1600, 1200), 4, "RGB", {"progressive": True}),
        ((1597, 1201), 4, "CMYK", {}),
        ((3200, 2400), 8, "RGB", {}),
        ((40_000, 12), 2, "RGB", {}),
        ((12, 40_000), 2, "RGB", {}),
    ],
)
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_boxes_are_those_of_the_unscaled_picture(
    unlimited: GatewayProcess,
    scaling: GatewayProcess,
    backend: FakeBackend,
    size: tuple[int, int],
    by: int,
    mode: str,
    save: dict[str, Any],
    orientation: int,
) -> None:
    data = picture(*size, mode=mode, orientation=orientation, **save)
    image, box = detect(unlimited, data)
    assert detect(scaling, data)[0] == image
    shown = size[::-1] if orientation == 6 else size
    assert (image["width"], image["height"]) == shown
    with Image.open(io.BytesIO(backend.pictures[-1])) as sent:
        assert sent.size == tuple(-(-side // by) for side in shown)
    assert detect(scaling, data)[1] == pytest.approx(box, abs=by + 1)


def test_a_picture_within_the_limit_is_sent_unchanged(
    scaling: GatewayProcess, backend: FakeBackend
) -> None:
    data = picture(500, 400)
    assert detect(scaling, data)[0] == {"width": 500, "height": 400}
    assert backend.pictures[-1] == data


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_scaled_picture_is_drawn_on(scaling: GatewayProcess, orientation: int) -> None:
    data = picture(1600, 1200, orientation=orientation)
    response = scaling.http.post("/detect?format=image", files={"image": data})
    shown = (400, 300) if orientation == 1 else (300, 400)
    with Image.open(io.BytesIO(response.content)) as drawn, Image.open(io.BytesIO(data)) as upload:
        assert drawn.size == shown
        stored = upload.resize((400, 300))
        plain = stored if orientation == 1 else stored.transpose(Image.Transpose.ROTATE_270)
        drawn_on = ImageChops.difference(drawn, plain).convert("L").point(lambda v: 255 * (v > 60))
        changed = drawn_on.getbbox()
    square = (0, 0, 100, 75) if orientation == 1 else (225, 0, 300, 100)
    assert changed is not None
    assert changed[:2] == pytest.approx(square[:2], abs=3)
    assert changed[2:] == pytest.approx(square[2:], abs=3)


def test_one_of_a_batch(scaling: GatewayProcess) -> None:
    pictures = [picture(500, 400), picture(1600, 1200), picture(1600, 1200, "PNG")]
    files = [("image", data) for data in pictures]
    first, second, third = scaling.http.post("/detect/batch", files=files).json()["results"]
    assert first["image"] == {"width": 500, "height": 400}
    assert second["image"] == {"width": 1600, "height": 1200}
    assert third["error"]["status"] == 413
    assert third["error"]["detail"] == (
        "The picture has 1600 x 1200 = 1920000 pixels; the limit is 200000, for JPEG 12800000."
    )


def test_a_damaged_picture_over_the_limit(scaling: GatewayProcess) -> None:
    data = picture(1600, 1200)
    response = scaling.http.post("/detect", files={"image": data[: len(data) // 2]})
    assert response.status_code == 400
    assert "damaged" in response.json()["detail"]


def test_coefficients_of_a_progressive_picture_must_fit_the_memory(
    scaling: GatewayProcess,
) -> None:
    """Scaling saves none of them: 6 bytes for each pixel of the upload."""
    assert detect(scaling, picture(3200, 2400))[0] == {"width": 3200, "height": 2400}
    data = picture(3200, 2400, progressive=True)
    for path in ("/detect", "/detect?format=image"):
        response = scaling.http.post(path, files={"image": data})
        assert (response.status_code, response.json()["type"]) == (413, "urn:problem:too-large")
        assert response.json()["detail"] == (
            "Decoding this picture takes 46560000 bytes of memory; the limit is 16777216."
            " Send it smaller, or as a baseline JPEG that is stored upright."
        )
