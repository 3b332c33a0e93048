"""What the gateway itself does with pictures, for all models: header, limits, decoding, drawing.

Pixels are decoded in threads, within one memory budget.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from ..core.errors import BadPicture, TooLarge
from ..core.threads import available_cores
from ..settings import Settings
from .imaging import drawing, image, isolated, pixels
from .imaging.image import Header
from .imaging.pixels import Picture
from .imaging.workers import PixelWorkers
from .models import Detection
from .quarantine import Quarantine, Sender
from .timings import Timings

COPIES = 3  # of an encoded picture at most: its bytes, the request built from them, gRPC's buffer


class Pictures:
    """Make it inside the running event loop, and close it there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        threads = settings.picture_threads or available_cores()
        self._workers = PixelWorkers(settings.max_pixel_bytes, threads)
        # One thread: a header takes microseconds, and more threads would only compete for the GIL.
        self._headers = ThreadPoolExecutor(1, "headers")
        self.quarantine = Quarantine()

    def close(self) -> None:
        self._workers.close()
        self._headers.shutdown(wait=False, cancel_futures=True)

    async def header(self, data: bytes) -> Header:
        """Raises BadPicture, UnsupportedMedia or TooLarge."""
        limit = self._settings.max_upload_bytes
        if len(data) > limit:
            raise TooLarge(f"The picture has {len(data)} bytes; the limit is {limit}.")
        header = image.plain_header(data)
        if header is None:
            loop = asyncio.get_running_loop()
            header = await loop.run_in_executor(self._headers, image.pillow_header, data)
        return image.check_pixels(header, self._settings.max_pixels, self._settings.downscale)

    async def draw(
        self, data: bytes, detections: Sequence[Detection], deadline: float, timings: Timings
    ) -> bytes:
        """The picture with its detections, as JPEG. Raises errors.DetectError."""
        header = await self.header(data)
        needed = pixels.decoding_bytes(header)
        if header.isolated:
            # Not within the block: whoever holds memory must not wait for more.
            async with self.normalized(data, header, deadline, timings) as picture:
                data = picture.data
            header = Header("JPEG", *header.shown, 1, 0)
            needed = pixels.decoding_bytes(header) + len(data)
        started = time.perf_counter()
        async with self._workers.reserve(needed, deadline) as memory:
            drawn = await memory.run(
                drawing.draw, data, header, detections, self._settings.label_font_file
            )
        timings.since(started, "draw")
        return drawn

    async def verify(
        self, data: bytes, header: Header, deadline: float, timings: Timings, sender: Sender
    ) -> None:
        """Raises BadPicture for a damaged picture, and quarantines its sender."""
        started = time.perf_counter()
        needed = pixels.decoding_bytes(header)
        try:
            async with self._workers.reserve(needed, deadline) as memory:
                await memory.run(pixels.verify, data, header)
        except BadPicture:
            delay_s = self.quarantine.damaged(sender)
            await asyncio.sleep(min(delay_s, deadline - time.perf_counter()))
            raise
        finally:
            timings.since(started, "verify")
        self.quarantine.undamaged(sender)

    @asynccontextmanager
    async def normalized(
        self, data: bytes, header: Header, deadline: float, timings: Timings
    ) -> AsyncIterator[Picture]:
        """The picture as an upright JPEG, whose memory counts until the end of the block."""
        started = time.perf_counter()
        async with self._workers.reserve(pixels.decoding_bytes(header), deadline) as memory:
            if header.isolated:
                picture = await memory.run(isolated.to_jpeg, data, header, deadline)
            else:
                picture = await memory.run(pixels.normalize_orientation, data, header)
            memory.keep(COPIES * len(picture.data))
            timings.since(started, "upright")
            yield picture
