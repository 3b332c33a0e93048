"""Uploads that are expensive to look at: headers of millions of parts, and the largest pictures."""

import io
import zlib
from functools import cache

from PIL import Image

from tests.support.inputs.pictures import picture

SIZE = 18_000_000


def jpeg_of(filling: bytes, size: int = SIZE) -> bytes:
    """A valid JPEG with `filling` repeated behind its first marker."""
    whole = picture(64, 48)
    return whole[:2] + filling * (size // len(filling)) + whole[2:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + check


def png_of(chunks: bytes) -> bytes:
    """A valid PNG with `chunks` behind its header."""
    whole = picture(64, 48, "PNG")
    return whole[:33] + chunks + whole[33:]


@cache
def bombs(size: int = SIZE) -> dict[str, bytes]:
    empty = png_chunk(b"tEXt", b"")
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    webp = picture(64, 48, "WEBP")
    pairs = size // 8 * b"abcd\0\0\0\0"
    riff = (len(webp) - 8 + len(pairs)).to_bytes(4, "little")
    return {
        "empty comments": jpeg_of(b"\xff\xfe\0\x02", size),
        "empty APP1": jpeg_of(b"\xff\xe1\0\x02", size),
        "fill bytes": jpeg_of(b"\xff", size),
        "escaped bytes": jpeg_of(b"\xff\0", size),
        "empty PNG chunks": png_of(size // len(empty) * empty),
        "empty IDATs": png_of(size // 12 * png_chunk(b"IDAT", b"")),
        "compressed text": png_of(64 * text),
        "WebP chunks": webp[:4] + riff + webp[8:] + pairs,
    }


@cache
def json_bombs(size: int = SIZE) -> dict[str, bytes]:
    """Bodies for the routes that take JSON: millions of values, or base64 that is slow to read."""
    picture_of = b'{"instances":[{"b64":"%b"}]}'
    return {
        "objects": b'{"instances":[%b{}]}' % (size // 3 * b"{},"),
        "numbers": b'{"instances":[%b1]}' % (size // 2 * b"1,"),
        "keys": b"{%b}" % b",".join(b'"%07x":1' % i for i in range(size // 12)),
        "escapes": picture_of % (size // 6 * b"\\u0041"),
        "spaced base64": picture_of % (size // 3 * b"AA "),
    }


@cache
def largest() -> dict[str, bytes]:
    """Undamaged pictures as large as the limits allow, of noise, stored on their side."""
    return {
        "JPEG": noise(8660, 5773),
        "progressive JPEG": noise(6000, 6000, progressive=True, subsampling=0),
        "wide JPEG": noise(16_000, 3000),
        "very wide JPEG": noise(65_000, 760),
        "grey JPEG": noise(50_000, 1000, mode="L"),
        "CMYK JPEG": noise(7000, 6500, mode="CMYK", quality=50),
        "PNG": noise(2500, 2500, "PNG", compress_level=1),
        "palette PNG": noise(7000, 7000, "PNG", mode="P", compress_level=1),
        "RGBA PNG": picture(7000, 7000, "PNG", "RGBA", orientation=6),
        "WebP": noise(4500, 4500, "WEBP"),
        "RGBA WebP": noise(4500, 4500, "WEBP", "RGBA"),
        "lossless WebP": picture(16_383, 1300, "WEBP", orientation=6, lossless=True),
        "long upload": picture(64, 48) + bytes(20_000_000),
    }


def noise(width: int, height: int, kind: str = "JPEG", mode: str = "RGB", **save: object) -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    image = Image.effect_noise((1000, 750), 60).convert("RGB").resize((width, height))
    image.convert(mode).save(out, kind, exif=exif.tobytes(), **save)
    return out.getvalue()
