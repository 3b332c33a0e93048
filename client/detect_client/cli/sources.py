"""Frames of a video file, and of a live stream that may break and come back. Needs PyAV."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .options import Stop

JPEG_QUALITY = 95
RECONNECT_S = (0.5, 1, 2, 5)  # the last one again and again
LEAVE_S = 2.0  # for the thread; a stream that does not answer keeps it for longer


@dataclass(frozen=True)
class Frame:
    """`number` counts all frames from 0; `time_s`: seconds since the start; `jpeg`: its bytes."""

    number: int
    time_s: float
    jpeg: bytes


def read_file(path: str, every: int) -> Iterator[Frame]:
    """Every `every`th frame of a video file, in order. Raises Stop where it cannot be read."""
    av = _av()
    try:
        with av.open(path) as container:
            for number, decoded in enumerate(container.decode(video=0)):
                if number % every == 0:
                    yield _frame(number, decoded, 0.0)
    except (av.error.FFmpegError, IndexError) as error:
        raise Stop(f"{path} cannot be read as video: {error}") from error


class LiveSource:
    """Iterates over the newest frame of a stream, and connects again whenever it breaks."""

    def __init__(self, url: str, every: int) -> None:
        self._url = url
        self._every = every
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._av = _av()

    def __enter__(self) -> LiveSource:
        self._reader = threading.Thread(target=self._read, name="stream", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._reader.join(LEAVE_S)  # inside FFmpeg, it could keep the process from ending

    def __iter__(self) -> Iterator[Frame]:
        while not self._stopped.is_set():
            with self._changed:
                while self._newest is None:
                    self._changed.wait(0.5)
                frame, self._newest = self._newest, None
            yield frame

    def _read(self) -> None:
        number, failures, started = 0, 0, time.monotonic()
        while not self._stopped.is_set():
            try:
                with self._av.open(self._url, timeout=10) as container:
                    for decoded in container.decode(video=0):
                        if self._stopped.is_set():
                            return
                        failures = 0
                        if number % self._every == 0:
                            self._show(_frame(number, decoded, time.monotonic() - started))
                        number += 1
                reason = "it ended"
            except (self._av.error.FFmpegError, IndexError) as error:
                reason = str(error)
            pause_s = RECONNECT_S[min(failures, len(RECONNECT_S) - 1)]
            failures += 1
            print(f"detect: {self._url}: {reason}; again in {pause_s} s", file=sys.stderr)
            self._stopped.wait(pause_s)

    def _show(self, frame: Frame) -> None:
        with self._changed:
            self._newest = frame
            self._changed.notify()


def _frame(number: int, decoded: Any, live_s: float) -> Frame:
    out = io.BytesIO()
    decoded.to_image().save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Frame(number, live_s or float(decoded.time or 0.0), out.getvalue())


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise Stop("video needs PyAV: pip install 'detect-client[video]'") from error
    return av
