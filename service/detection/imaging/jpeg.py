"""A JPEG's size and orientation, read from its markers: 1 to 3 µs, where Pillow takes 20 to 100.

Nearly every upload takes this path; anything unusual returns None and is left to Pillow.
Markers: ITU-T T.81, table B.1. EXIF: CIPA DC-008, chapter 4.5.
"""

from struct import Struct, error

# Height, width, components of a baseline, extended or progressive frame of 8 bits.
FRAMES = {0xC0, 0xC1, 0xC2}
PROGRESSIVE = 0xC2
SCAN = 0xDA
COEFFICIENT_BYTES = 2  # for each component
MOST_BYTES = 4 * COEFFICIENT_BYTES
TABLES = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # Huffman, quantisation, restart, text, APPn
MOST_SEGMENTS = 64  # real files have a dozen
ORIENTATION = 0x0112
SHORT = 3

_length = Struct(">H").unpack_from
_frame = Struct(">BHHB").unpack_from


def read_header(data: bytes) -> tuple[int, int, int, int] | None:
    """(width, height, EXIF orientation 1 to 8, bytes of coefficients that the decoder buffers per
    pixel), or None for an unusual header. Looks at no more than MOST_SEGMENTS segments."""
    if data[:2] != b"\xff\xd8":
        return None
    at, orientation, frame = 2, 0, None
    try:
        for _ in range(MOST_SEGMENTS):
            if data[at] != 0xFF:
                return None
            marker = data[at + 1]
            if marker == SCAN and frame:
                width, height, components, progressive = frame
                several_scans = progressive or data[at + 4] != components
                coefficients = COEFFICIENT_BYTES * components if several_scans else 0
                return width, height, orientation or 1, coefficients
            if marker in FRAMES and not frame:
                precision, height, width, components = _frame(data, at + 4)
                if not (precision == 8 and width and height and components in (1, 3, 4)):
                    return None
                frame = width, height, components, marker == PROGRESSIVE
            elif marker not in TABLES:
                return None
            if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
                if orientation:  # a second one
                    return None
                orientation = _orientation(data, at + 10)
                if not orientation:
                    return None
            at += 2 + _length(data, at + 2)[0]
    except (IndexError, error):  # it ends before its first scan
        pass
    return None


def _orientation(data: bytes, tiff: int) -> int:
    """From the first directory of the TIFF structure at `tiff`; 1 where it says none, 0 if odd."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[tiff : tiff + 4])
    if order is None:
        return 0
    (directory,) = Struct(order + "I").unpack_from(data, tiff + 4)
    (entries,) = Struct(order + "H").unpack_from(data, tiff + directory)
    entry = Struct(order + "HHIH").unpack_from
    for i in range(min(entries, MOST_SEGMENTS)):
        tag, kind, count, value = entry(data, tiff + directory + 2 + 12 * i)
        if tag == ORIENTATION:
            return value if kind == SHORT and count == 1 and 1 <= value <= 8 else 0
    return 1 if entries <= MOST_SEGMENTS else 0
