"""Forms as other services' clients send them: the picture under any name, text parts beside it."""

from typing import NamedTuple

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)
from starlette.requests import Request

from ...core.errors import BadPicture, MalformedBody, TooLarge, UnsupportedMedia
from ...settings import Settings
from ..requests import uploads

MAX_PARTS = 16
MAX_TEXT_BYTES = 4096  # of one text part


class Form(NamedTuple):
    """The first file, and the text parts by name; of a repeated name the last."""

    picture: bytes
    texts: dict[str, str]


async def read_form(request: Request, settings: Settings) -> Form:
    """Raises UnsupportedMedia, MalformedBody, TooLarge, or BadPicture where there is no file."""
    media_type, options = uploads.content_type(request)
    if media_type != uploads.FORM:
        raise UnsupportedMedia(f"Content-Type is {media_type[:80]!r}; send {uploads.FORM}.")
    limit = settings.max_upload_bytes + uploads.FORM_OVERHEAD
    body = await uploads.read_blocks(request, limit, request.state.reservation)
    picture: list[bytes] | None = None
    texts: dict[str, str] = {}
    chunks: list[bytes] = []
    segment: MultipartSegment | None = None
    try:
        parser = PushMultipartParser(
            options.get("boundary", ""),
            max_segment_size=settings.max_upload_bytes,
            max_segment_count=MAX_PARTS,
        )
        async for event in uploads.form_events(parser, body):
            if isinstance(event, MultipartSegment):
                segment, chunks = event, []
            elif event:
                chunks.append(event)
            elif segment is not None:
                if picture is None and (segment.filename is not None or segment.name == "image"):
                    picture = chunks
                elif segment.filename is None:
                    texts[segment.name] = _text(segment.name, chunks)
    except ParserLimitReached as error:
        raise TooLarge(
            f"The form is too large ({error.args[0]}); a picture may have"
            f" {settings.max_upload_bytes} bytes, and a form {MAX_PARTS} parts."
        ) from error
    except MultipartError as error:
        raise MalformedBody(f"The form is malformed ({error.args[0]}).") from error
    if picture is None:
        raise BadPicture("No valid image file found: the form has no file.")
    return Form(b"".join(picture), texts)


def _text(name: str, chunks: list[bytes]) -> str:
    data = b"".join(chunks)
    if len(data) > MAX_TEXT_BYTES:
        raise TooLarge(f"The part {name[:80]!r} has {len(data)} bytes; at most {MAX_TEXT_BYTES}.")
    return data.decode("utf-8", "replace").strip()
