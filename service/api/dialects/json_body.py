"""JSON bodies with pictures in base64, parsed within limits of time and memory.

Both decoders hold the GIL while they run, wherever they run: the event loop waits meanwhile. So the
number of values is limited, and base64 is decoded in pieces, in one thread.
"""

import asyncio
import binascii
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pydantic_core import from_json

from ...core.errors import MalformedBody

Parsed = TypeVar("Parsed")

INLINE = 64 * 1024  # bytes; what is shorter is parsed on the event loop
PIECE = 256 * 1024  # bytes of base64, less than a millisecond
# Every value in JSON but a container's first follows a comma. Each takes up to 100 bytes of memory.
MAX_COMMAS = 4096
BYTES_PER_ESCAPE = 16  # one in 64 characters of base64 is a slash, which some encoders escape
URL_ALPHABET = bytes.maketrans(b"-_", b"+/")

_thread = ThreadPoolExecutor(1, "json")  # more would compete with the event loop for the GIL


async def parse_json(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises MalformedBody, with the place of the mistake."""
    try:
        content = await _run(_parse, body)
    except ValueError as error:
        raise MalformedBody(f"The body is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise MalformedBody("The body is JSON, but not an object.")
    return content


async def decode_base64(text: Any, where: str) -> bytes:
    """A picture's bytes. Data URLs are accepted; other URLs are not fetched.

    Raises MalformedBody, which names `where` the text stood.
    """
    if not isinstance(text, str):
        raise MalformedBody(f"{where} must be a picture in base64.")
    if text[:8].lower().startswith(("http://", "https://", "file://", "ftp://")):
        raise MalformedBody(f"{where} is a URL; send the picture itself, in base64.")
    try:
        return await _run(_decode, text)
    except ValueError as error:  # binascii.Error is one
        raise MalformedBody(f"{where} is not base64 ({error}).") from error


async def _run(work: Callable[[Any], Parsed], argument: bytes | str) -> Parsed:
    if len(argument) < INLINE:
        return work(argument)
    return await asyncio.get_running_loop().run_in_executor(_thread, work, argument)


def _parse(body: bytes) -> Any:
    commas = escapes = 0
    for at in range(0, len(body), PIECE):
        commas += body.count(b",", at, at + PIECE)
        escapes += body.count(b"\\", at, at + PIECE)
        if commas > MAX_COMMAS or escapes > MAX_COMMAS + len(body) // BYTES_PER_ESCAPE:
            raise MalformedBody(
                f"The JSON has more than {MAX_COMMAS} values, or too many escapes; send pictures"
                " in base64 and little else."
            )
    return from_json(body, allow_inf_nan=False)


def _decode(text: str) -> bytes:
    """Encoders that wrap lines, and those that use the URL alphabet, are both in use."""
    begin = text.find(",") + 1 if text.startswith("data:") else 0
    pieces, rest = [], b""
    for at in range(begin, len(text), PIECE):
        piece = text[at : at + PIECE].encode("ascii")
        piece = rest + piece.translate(URL_ALPHABET, string.whitespace.encode())
        last = at + PIECE >= len(text)
        if last:
            piece = piece.rstrip(b"=")
            piece += b"=" * (-len(piece) % 4)
        whole = len(piece) // 4 * 4
        if not last and b"=" in piece[:whole]:
            raise binascii.Error("padding before the end")
        pieces.append(binascii.a2b_base64(piece[:whole], strict_mode=True))
        rest = piece[whole:]
    return b"".join(pieces)
