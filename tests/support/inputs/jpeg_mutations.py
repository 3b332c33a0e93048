"""Real JPEGs, damaged with knowledge of their structure; the same index gives the same bytes.

Markers and segments: ITU-T T.81, annex B.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from tests.support.inputs.official import COFFEE

SOI, EOI, SOS, DQT, DHT, DRI, APP1, APP14 = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xE1, 0xEE
FRAMES = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (DHT, 0xC8, 0xCC))
RESTARTS = tuple(range(0xD0, 0xD8))


@dataclass(frozen=True)
class Mutation:
    kind: str
    data: bytes


@dataclass
class Segment:
    """`body`: after the length field; `scan`: entropy-coded data after an SOS."""

    marker: int
    body: bytes
    scan: bytes = b""
    length: int | None = None  # where it is to be a lie

    def encoded(self) -> bytes:
        length = len(self.body) + 2 if self.length is None else self.length
        head = bytes((0xFF, self.marker))
        return head + (length & 0xFFFF).to_bytes(2, "big") + self.body + self.scan


def seeds() -> list[bytes]:
    """Small pictures of every usual kind, out of a photo, by Pillow and by OpenCV."""
    with Image.open(COFFEE) as image:
        photo = image.convert("RGB").resize((96, 72))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[str, dict[str, object]]] = [
        ("RGB", {}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"progressive": True}),
        ("RGB", {"restart_marker_blocks": 3}),
        ("RGB", {"progressive": True, "restart_marker_rows": 1}),
        ("RGB", {"exif": exif.tobytes(), "optimize": True}),
        ("L", {}),
        ("CMYK", {}),
    ]
    found = [cv2.imencode(".jpg", np.asarray(photo)[:, :, ::-1])[1].tobytes()]
    for mode, options in kinds:
        file = io.BytesIO()
        photo.convert(mode).save(file, "JPEG", **options)
        found.append(file.getvalue())
    return found


def parsed(data: bytes) -> list[Segment]:
    """The segments between SOI and EOI."""
    segments, at = [], 2
    while data[at + 1] != EOI:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = Segment(data[at + 1], data[at + 4 : at + 2 + length])
        at += 2 + length
        if segment.marker == SOS:
            end = at
            while data[end] != 0xFF or data[end + 1] in (0, *RESTARTS):
                end += 1
            segment.scan, at = data[at:end], end
        segments.append(segment)
    return segments


def joined(segments: list[Segment]) -> bytes:
    body = b"".join(segment.encoded() for segment in segments)
    return bytes((0xFF, SOI)) + body + bytes((0xFF, EOI))


# Each of these damages the segments in place.


def _one(rng: random.Random, segments: list[Segment], *markers: int) -> Segment:
    return rng.choice([segment for segment in segments if segment.marker in markers])


def _poked(rng: random.Random, body: bytes, times: int) -> bytes:
    changed = bytearray(body)
    for _ in range(times):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
    return bytes(changed)


def marker(rng: random.Random, segments: list[Segment]) -> None:
    rng.choice(segments).marker = rng.choice((rng.randrange(256), rng.randrange(0xC0, 0xFF)))


def length(rng: random.Random, segments: list[Segment]) -> None:
    segment = rng.choice(segments)
    right = len(segment.body) + 2
    segment.length = rng.choice((0, 1, 2, right - 1, right + 1, 0xFFFF, rng.randrange(0x10000)))


def quantisation_table(rng: random.Random, segments: list[Segment]) -> None:
    segment = _one(rng, segments, DQT)
    segment.body = _poked(rng, segment.body, rng.randint(1, 8))


def huffman_table(rng: random.Random, segments: list[Segment]) -> None:
    segment = _one(rng, segments, DHT)
    segment.body = _poked(rng, segment.body, rng.randint(1, 4))


def dimensions(rng: random.Random, segments: list[Segment]) -> None:
    frame = _one(rng, segments, *FRAMES)
    sizes = (0, 1, 7, 8, 17, 64, 95, 97, 500, 2000, 0xFFFF, rng.randrange(3000))
    at = rng.choice((1, 3))
    frame.body = frame.body[:at] + rng.choice(sizes).to_bytes(2, "big") + frame.body[at + 2 :]


def sampling(rng: random.Random, segments: list[Segment]) -> None:
    frame = bytearray(_one(rng, segments, *FRAMES).body)
    for _ in range(rng.randint(1, 2)):
        factors = rng.randrange(7, len(frame), 3)
        frame[factors] = rng.choice((0x11, 0x12, 0x21, 0x22, 0x41, 0x44, 0, rng.randrange(256)))
    _one(rng, segments, *FRAMES).body = bytes(frame)


def frame(rng: random.Random, segments: list[Segment]) -> None:
    """Its kind (arithmetic, lossless, ...), precision, components or their tables."""
    segment = _one(rng, segments, *FRAMES)
    if rng.random() < 0.4:
        segment.marker = rng.choice(FRAMES)
    else:
        at = rng.choice([0, 5, *range(6, len(segment.body))])
        value = rng.choice((0, 1, 2, 3, 4, 8, 12, rng.randrange(256)))
        segment.body = segment.body[:at] + bytes((value,)) + segment.body[at + 1 :]


def scan_header(rng: random.Random, segments: list[Segment]) -> None:
    scan = _one(rng, segments, SOS)
    scan.body = _poked(rng, scan.body, rng.randint(1, 2))


def scan_bits(rng: random.Random, segments: list[Segment]) -> None:
    segment = rng.choice([segment for segment in segments if segment.scan])
    scan = bytearray(segment.scan)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        scan[rng.randrange(len(scan))] ^= 1 << rng.randrange(8)
    segment.scan = bytes(scan)


def restart_markers(rng: random.Random, segments: list[Segment]) -> None:
    """More of them, in the wrong order, or an interval that is not kept."""
    if rng.random() < 0.5:
        interval = rng.choice((0, 1, 2, 3, 12, 0xFFFF)).to_bytes(2, "big")
        segments.insert(rng.randrange(len(segments)), Segment(DRI, interval))
        return
    segment = _one(rng, segments, SOS)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(segment.scan))
        restart = bytes((0xFF, rng.choice(RESTARTS)))
        segment.scan = segment.scan[:at] + restart + segment.scan[at + rng.choice((0, 2)) :]


def duplicated_segment(rng: random.Random, segments: list[Segment]) -> None:
    copied = rng.choice(segments)
    segments.insert(rng.randint(0, len(segments)), Segment(copied.marker, copied.body, copied.scan))


def reordered_segments(rng: random.Random, segments: list[Segment]) -> None:
    first, second = rng.sample(range(len(segments)), 2)
    segments[first], segments[second] = segments[second], segments[first]


def removed_segment(rng: random.Random, segments: list[Segment]) -> None:
    segments.pop(rng.randrange(len(segments)))


def orientation(rng: random.Random, segments: list[Segment]) -> None:
    """An EXIF segment with any orientation, right or not, whole or poked at."""
    order: Literal["little", "big"] = rng.choice(("little", "big"))
    tag = [(0x0112, 2), (rng.choice((3, 3, 3, 1, 4)), 2), (rng.choice((1, 1, 1, 0, 2)), 4)]
    fields = [*tag, (rng.choice((*range(10), 0xFFFF)), 2), (0, 2), (0, 4)]
    tiff = (b"II*\0" if order == "little" else b"MM\0*") + (8).to_bytes(4, order)
    tiff += (1).to_bytes(2, order) + b"".join(n.to_bytes(size, order) for n, size in fields)
    if rng.random() < 0.3:
        tiff = _poked(rng, tiff, 2)[: rng.randint(4, len(tiff))]
    segments.insert(rng.choice((0, 0, 1)), Segment(APP1, b"Exif\0\0" + tiff))


def adobe_transform(rng: random.Random, segments: list[Segment]) -> None:
    """APP14 says which colours the components are."""
    body = b"Adobe\0\x64\0\0\0\0" + bytes((rng.choice((0, 1, 2, 3, 255)),))
    segments.insert(rng.choice((0, 1, len(segments))), Segment(APP14, body[: rng.randint(4, 12)]))


# And these the bytes.


def truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def bytes_moved(rng: random.Random, data: bytes) -> bytes:
    at, some = rng.randrange(2, len(data)), rng.randint(1, 40)
    return data[:at] + rng.choice((b"", b"\0" * some, rng.randbytes(some))) + data[at + some :]


def two_in_one(rng: random.Random, data: bytes) -> bytes:
    """Another picture after the end, or inside."""
    at = rng.choice((len(data), rng.randrange(2, len(data))))
    return data[:at] + data + data[at:]


OF_SEGMENTS: tuple[Callable[[random.Random, list[Segment]], None], ...] = (
    marker,
    length,
    quantisation_table,
    huffman_table,
    dimensions,
    sampling,
    frame,
    scan_header,
    scan_bits,
    restart_markers,
    duplicated_segment,
    reordered_segments,
    removed_segment,
    orientation,
    adobe_transform,
)
OF_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (truncated, bytes_moved, two_in_one)
KINDS = tuple(kind.__name__.replace("_", " ") for kind in (*OF_SEGMENTS, *OF_BYTES))


def mutation(pictures: list[bytes], index: int) -> Mutation:
    """The kinds take turns; of one in four the scan's bits are damaged too."""
    rng = random.Random(index)
    picture = pictures[index // len(KINDS) % len(pictures)]
    number = index % len(KINDS)
    segments = parsed(picture)
    if number < len(OF_SEGMENTS):
        OF_SEGMENTS[number](rng, segments)
        if rng.random() < 0.25 and any(segment.scan for segment in segments):
            scan_bits(rng, segments)
        return Mutation(KINDS[number], joined(segments))
    return Mutation(KINDS[number], OF_BYTES[number - len(OF_SEGMENTS)](rng, picture))
