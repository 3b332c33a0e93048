"""What the two decoders make of the same bytes: the gateway's (Pillow) and the model's."""

import warnings

from service.api.problems import STATUS
from service.core.errors import DetectError
from service.detection.imaging import image, pixels

Size = tuple[int, int]
MAX_PIXELS = 50_000_000


def pillow_size(data: bytes) -> Size | None:
    """Width and height as shown; None where it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pixels.decode(data, header_of(data)).size
        except DetectError:
            return None


def tensorflow_size(data: bytes) -> Size | None:
    """Width and height as stored; None where it is refused. Decoded as in yolov4/export.py."""
    import tensorflow as tf

    try:
        shape = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").shape
    except tf.errors.InvalidArgumentError:
        return None
    return int(shape[1]), int(shape[0])


def expected_status(data: bytes) -> int:
    """What the gateway answers: right is what either decoder takes, within the gateway's limits."""
    refused = header_status(data)
    if refused:
        return refused
    taken = (sent_as_it_is(data) and tensorflow_size(data)) or pillow_size(data)
    return 200 if taken else 400


def header_of(data: bytes) -> image.Header:
    """Raises the errors of errors.py, but has no limit of pixels."""
    return image.plain_header(data) or image.pillow_header(data)


def header_status(data: bytes) -> int | None:
    """What the gateway answers for the header alone, where that is refused."""
    try:
        _header(data)
    except DetectError as error:
        return STATUS[type(error)]
    return None


def sent_as_it_is(data: bytes) -> bool:
    """Whether the model server sees these very bytes."""
    return header_status(data) is None and _header(data).as_is


def _header(data: bytes) -> image.Header:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = header_of(data)
        image.check_pixels(header, MAX_PIXELS)
        return header
