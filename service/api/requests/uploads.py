"""Reads the pictures of a request body: raw, or multipart parts named `image`, within limits."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)
from starlette.requests import ClientDisconnect, Request

from ...core.errors import BODY_ERROR, BadParameter, MalformedBody, TooLarge, UnsupportedMedia
from ...detection.imaging.image import MEDIA_TYPES, OPTIONAL_TYPES
from ...settings import Settings
from .memory_budget import COPIES, Reservation

PART = "image"
FORM = "multipart/form-data"
# Of every raw body the bytes decide what it is; these names say that it is one picture.
RAW = {*MEDIA_TYPES, *OPTIONAL_TYPES, "image/jpg", "application/octet-stream"}
HINT = (
    f"send {FORM} with a part named {PART!r} (curl -F image=@picture.jpg), or the picture itself"
    f" with Content-Type {', '.join(MEDIA_TYPES)} (curl -H 'Content-Type: image/jpeg'"
    " --data-binary @picture.jpg)"
)
FORM_OVERHEAD = 64 * 1024  # bytes of boundaries and part headers around one picture
FEW_CHUNKS = 4  # of 64 to 256 KiB
PIECE = 1024 * 1024  # bytes that are parsed in one go, 4 ms at worst
Blocks = list[bytes | bytearray]
PLAIN = {"", "identity", "binary", "8bit", "7bit"}  # codings that change nothing


async def read_image(request: Request, settings: Settings, reservation: Reservation) -> bytes:
    """The picture of `POST /detect`."""
    media_type, options = content_type(request)
    if media_type in RAW:
        return await read_body(request, settings.max_upload_bytes, reservation)
    if media_type != FORM:
        raise UnsupportedMedia(f"{_describe(media_type)}; {HINT}.")
    body = await read_blocks(request, settings.max_upload_bytes + FORM_OVERHEAD, reservation)
    return (await _parse(body, options, settings.max_upload_bytes, 1))[0]


async def read_images(
    request: Request, settings: Settings, reservation: Reservation
) -> list[bytes]:
    """The pictures of `POST /detect/batch`, in request order."""
    media_type, options = content_type(request)
    if media_type != FORM:
        raise UnsupportedMedia(
            f"{_describe(media_type)}; send {FORM} with parts named {PART!r}"
            " (curl -F image=@a.jpg -F image=@b.jpg)."
        )
    # One picture over its own limit fails alone: the detector checks that.
    limit = settings.max_batch_bytes
    body = await read_blocks(request, limit, reservation)
    return await _parse(body, options, limit, settings.max_batch_pictures)


def content_type(request: Request) -> tuple[str, dict[str, str]]:
    """Media type (empty without a Content-Type) and its parameters."""
    coding = ", ".join(request.headers.getlist("content-encoding")).lower()
    if coding not in PLAIN:
        raise UnsupportedMedia(
            f"Content-Encoding is {coding[:40]!r}; send the body without compression."
        )
    values = request.headers.getlist("content-type")
    if len(values) > 1:
        raise MalformedBody(f"There are {len(values)} Content-Type headers; send one.")
    return parse_options_header(values[0] if values else "")  # type: ignore[no-any-return]


def _describe(media_type: str) -> str:
    return f"Content-Type is {media_type[:80]!r}" if media_type else "There is no Content-Type"


async def read_body(request: Request, limit: int, reservation: Reservation) -> bytes:
    """The whole body. Raises TooLarge, Full, SlowUpload, MalformedBody or ClientDisconnect."""
    return b"".join(await read_blocks(request, limit, reservation))


async def read_blocks(request: Request, limit: int, reservation: Reservation) -> Blocks:
    """As `read_body`, in two blocks, because joining them would be one copy more. A Content-Length
    over the limit is rejected before reading."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"The body has {announced} bytes. The limit is {limit} bytes.")
    first: list[bytes] = []
    rest = bytearray()
    received = 0
    more = True
    while more:
        message = await request.receive()
        if error := request.scope["state"].get(BODY_ERROR):
            raise error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > limit:
            raise TooLarge(f"The body is too large. The limit is {limit} bytes.")
        reservation.reserve(COPIES * len(chunk))
        # Joining is fastest, but the chunks of large bodies would leave holes in the heap.
        if len(first) < FEW_CHUNKS:
            first.append(chunk)
        else:
            rest += chunk
    joined = b"".join(first)  # a single chunk is not copied
    return [joined, rest] if rest else [joined]


async def form_events(
    parser: PushMultipartParser, body: Blocks
) -> AsyncIterator[MultipartSegment | bytes | None]:
    """The parser's events. Other requests have their turn between pieces; frees the body."""
    pieces = (block[i : i + PIECE] for block in body for i in range(0, len(block), PIECE))
    for number, piece in enumerate(pieces):
        if number:
            await asyncio.sleep(0)
        for event in parser.parse(piece):
            yield event
    body.clear()
    parser.close()


async def join_all(parts: Sequence[list[bytes]]) -> list[bytes]:
    """Each part's chunks as one, which frees them; other requests have their turn between parts."""
    joined: list[bytes] = []
    for chunks in parts:
        if joined:
            await asyncio.sleep(0)
        joined.append(b"".join(chunks))
        chunks.clear()
    return joined


async def _parse(
    body: Blocks, options: dict[str, str], part_limit: int, max_parts: int
) -> list[bytes]:
    """The parts named `image`. Any other is an error, since nothing would read it."""
    pictures: list[list[bytes]] = []
    try:
        parser = PushMultipartParser(
            options.get("boundary", ""),
            max_segment_size=part_limit,
            max_segment_count=max_parts + 1,
            header_charset="latin1",  # never fails: old clients send file names in any charset
        )
        async for event in form_events(parser, body):
            if isinstance(event, MultipartSegment):
                _check_part(event, len(pictures), max_parts)
                pictures.append([])
            elif event:
                pictures[-1].append(event)
    except ParserLimitReached as error:
        raise TooLarge(
            f"A part of the form is too large ({error.args[0]}); it may have {part_limit} bytes"
            " and 8 headers of 4 KiB."
        ) from error
    except MultipartError as error:
        raise MalformedBody(f"The form is malformed ({error.args[0]}); {HINT}.") from error
    if not pictures:
        raise BadParameter(f"The form has no part named {PART!r}; {HINT}.")
    return await join_all(pictures)


def _check_part(segment: MultipartSegment, before: int, max_parts: int) -> None:
    if segment.name != PART:
        name = segment.name.encode("latin1", "replace").decode("utf-8", "replace")
        which = f"named {name[:80]!r}" if name else "without a name"
        raise BadParameter(
            f"The form has a part {which}; pictures are parts named {PART!r}, and parameters such"
            " as score_threshold go into the URL's query."
        )
    for header, value in segment.headerlist:
        if header == "Content-Transfer-Encoding" and value.strip().lower() not in PLAIN:
            raise UnsupportedMedia(
                f"A part has Content-Transfer-Encoding {value[:40]!r}; send the picture's bytes as"
                " they are."
            )
    if before == max_parts:
        if max_parts == 1:
            raise BadParameter(
                f"The form has several parts named {PART!r}; POST them to /detect/batch."
            )
        raise TooLarge(f"The form has more than {max_parts} pictures.")
