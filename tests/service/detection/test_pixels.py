"""Pictures decoded, turned upright and encoded again."""

import io

import pytest
from PIL import Image

from service.detection.pixels import decode, normalize_orientation
from service.errors import BadPicture
from tests.support.pictures import picture
from tests.support.two_decoders import header_of


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_handed_on_as_shown(kind: str, orientation: int) -> None:
    data = picture(64, 48, kind, orientation=orientation)
    header = header_of(data)
    assert header.orientation == orientation
    assert not header.as_is
    turned = normalize_orientation(data, header_of(data))
    assert (turned.width, turned.height) == ((64, 48) if orientation < 5 else (48, 64))
    sent = Image.open(io.BytesIO(turned.data))
    assert sent.format == "JPEG"
    assert sent.size == (turned.width, turned.height)
    assert 0x0112 not in sent.getexif()
    # The white corner, as stored at the upper left, where EXIF's definition puts it.
    corner = {2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    x = 4 if corner[1] == "l" else turned.width - 5
    y = 4 if corner[0] == "t" else turned.height - 5
    pixel = sent.getpixel((x, y))
    assert isinstance(pixel, tuple)
    assert min(pixel) > 200


def test_reencoding_keeps_the_pixels() -> None:
    data = picture(200, 100, "WEBP", lossless=True)
    before, after = (
        decode(data, header_of(data)),
        Image.open(io.BytesIO(normalize_orientation(data, header_of(data)).data)),
    )
    pairs = zip(before.tobytes(), after.convert("RGB").tobytes(), strict=True)
    differences = [abs(a - b) for a, b in pairs]
    assert max(differences) <= 3
    assert sum(differences) / len(differences) < 0.5


def test_damaged_pixels_are_the_pictures_fault() -> None:
    damaged = picture(400, 300)[:900]
    with pytest.raises(BadPicture, match="damaged or ends early"):
        decode(damaged, header_of(damaged))


@pytest.mark.parametrize("orientation", [1, 6])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(orientation: int) -> None:
    ramp = Image.linear_gradient("L")
    wide = ramp.convert("I").point(lambda value: value * 257).convert("I;16")
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    wide.save(out, "PNG", exif=exif.tobytes())
    assert header_of(out.getvalue()).orientation == orientation
    found = decode(out.getvalue(), header_of(out.getvalue())).convert("L").tobytes()
    assert sum(found) / len(found) == pytest.approx(127.5, abs=1)
