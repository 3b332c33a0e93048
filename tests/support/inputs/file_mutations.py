"""PNG and WebP files, damaged with knowledge of their chunks; the same index gives the same bytes.

PNG: W3C, chapter 5. WebP: RFC 9649.
"""

import io
import random
import zlib

from PIL import Image

from tests.support.inputs.official import COFFEE

PNG = b"\x89PNG\r\n\x1a\n"
Chunks = list[tuple[bytes, bytes]]  # kind, content


def seeds() -> list[bytes]:
    with Image.open(COFFEE) as image:
        photo = image.convert("RGB").resize((96, 72))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[str, str, dict[str, object]]] = [
        ("PNG", "RGB", {}),
        ("PNG", "P", {"transparency": 3, "exif": exif.tobytes()}),
        ("PNG", "RGBA", {"compress_level": 0}),
        ("PNG", "L", {}),
        ("PNG", "1", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True, "exif": exif.tobytes()}),
        ("WEBP", "RGB", {"save_all": True, "append_images": [photo.rotate(90)]}),
    ]
    files = []
    for kind, mode, options in kinds:
        file = io.BytesIO()
        photo.convert(mode).save(file, kind, **options)
        files.append(file.getvalue())
    return files


def parsed(data: bytes) -> Chunks:
    png = data.startswith(PNG)
    chunks, at = [], 8 if png else 12
    while at + 8 <= len(data):
        if png:
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        else:
            kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length if png else 8 + length + length % 2
    return chunks


def joined(chunks: Chunks, png: bool) -> bytes:
    """With right lengths and checksums, so that a decoder goes on to the content."""
    body = b""
    for kind, content in chunks:
        if png:
            check = zlib.crc32(kind + content).to_bytes(4, "big")
            body += len(content).to_bytes(4, "big") + kind + content + check
        else:
            body += kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)
    return PNG + body if png else b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def mutation(files: list[bytes], index: int) -> bytes:
    rng = random.Random(index)
    data = files[index % len(files)]
    kind = rng.randrange(5)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:
        return _poked(rng, data)
    chunks = parsed(data)
    at = rng.randrange(len(chunks))
    if kind == 2:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[at])
    elif kind == 3:
        del chunks[at]
    else:
        chunks[at] = chunks[at][0], _poked(rng, chunks[at][1])
    return joined(chunks, data.startswith(PNG))


def _poked(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
    return bytes(changed)
