"""A body as pictures: raw, or the parts of a form named `image`. Limits hold while it arrives."""

from collections.abc import AsyncIterator

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)
from starlette.requests import ClientDisconnect, Request

from ..detection.image import MEDIA_TYPES
from ..errors import BODY_ERROR, BadParameter, MalformedBody, TooLarge, UnsupportedMedia
from ..settings import Settings
from .memory_budget import Share

PART = "image"
FORM = "multipart/form-data"
HINT = (
    f"send {FORM} with a part named {PART!r} (curl -F image=@picture.jpg), or the picture itself"
    f" with Content-Type {', '.join(MEDIA_TYPES)} (curl -H 'Content-Type: image/jpeg'"
    " --data-binary @picture.jpg)"
)


async def one(request: Request, settings: Settings, share: Share) -> bytes:
    """The picture of `POST /detect`."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type in MEDIA_TYPES:
        limit = settings.max_upload_bytes
        chunks = [chunk async for chunk in _limited(request, limit, share)]
        return b"".join(chunks)
    if media_type != FORM:
        raise UnsupportedMedia(f"{_said(media_type)}; {HINT}.")
    # A form is a little more than its picture: boundaries and headers.
    limit = settings.max_upload_bytes + 64 * 1024
    pictures = await _form(request, options, share, limit, settings.max_upload_bytes, 1)
    return pictures[0]


async def several(request: Request, settings: Settings, share: Share) -> list[bytes]:
    """The pictures of `POST /detect/batch`, in their order."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != FORM:
        raise UnsupportedMedia(
            f"{_said(media_type)}; send {FORM} with parts named {PART!r}"
            " (curl -F image=@a.jpg -F image=@b.jpg)."
        )
    # Whether one of them is too large is that one's trouble alone: the detector says so.
    limit = settings.max_batch_bytes
    return await _form(request, options, share, limit, limit, settings.max_batch_pictures)


def _said(media_type: str) -> str:
    return f"Content-Type is {media_type!r}" if media_type else "There is no Content-Type"


async def _limited(request: Request, limit: int, share: Share) -> AsyncIterator[bytes]:
    """The body as it arrives. What announces itself as too large is refused before it is read."""
    announced = request.headers.get("content-length", "")
    too_large = f"The limit is {limit} bytes"
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"The body has {announced} bytes. {too_large}.")
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
            raise TooLarge(f"The body has more bytes than may be sent. {too_large}.")
        share.take(len(chunk))
        yield chunk


async def _form(
    request: Request,
    options: dict[str, str],
    share: Share,
    limit: int,
    part_limit: int,
    most: int,
) -> list[bytes]:
    """The parts named `image`; any other is refused, since nothing would read it."""
    pictures: list[list[bytes]] = []
    try:
        parser = PushMultipartParser(
            options.get("boundary", ""), max_segment_size=part_limit, max_segment_count=most + 1
        )
        # Parsed at once, not as it arrives: that would copy every picture once more.
        body = b"".join([chunk async for chunk in _limited(request, limit, share)])
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                _check(event, len(pictures), most)
                pictures.append([])
            elif event:
                pictures[-1].append(bytes(event))
        parser.close()
    except ParserLimitReached as error:
        raise TooLarge(
            f"A part of the form is too large ({error.args[0]}); a picture may have"
            f" {part_limit} bytes."
        ) from error
    except MultipartError as error:
        raise MalformedBody(f"The form is malformed ({error.args[0]}); {HINT}.") from error
    if not pictures:
        raise BadParameter(f"The form has no part named {PART!r}; {HINT}.")
    return [b"".join(chunks) for chunks in pictures]


def _check(segment: MultipartSegment, before: int, most: int) -> None:
    if segment.name != PART:
        raise BadParameter(
            f"The form has a part named {segment.name!r}; pictures are parts named {PART!r}, and"
            " parameters such as score_threshold go into the URL's query."
        )
    if before == most:
        if most == 1:
            raise BadParameter(
                f"The form has several parts named {PART!r}; POST them to /detect/batch."
            )
        raise TooLarge(f"The form has more than {most} pictures.")
