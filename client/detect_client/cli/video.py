"""Video files, in order and complete, and live streams, always the newest frame. Needs PyAV."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..client import Client
from ..errors import ConnectionFailed, InvalidPicture, Unavailable
from ..results import Result
from .options import Options, Stop
from .sources import Frame, LiveSource, read_file
from .webhook import Webhook

TICK = Fraction(1, 90_000)  # seconds, of an annotated video's clock


def run(client: Client, options: Options) -> int:
    """Returns 0. A file ends by itself, a stream with Ctrl-C."""
    live = "://" in options.source or options.source.startswith("/dev/")
    if not live and not Path(options.source).is_file():
        raise Stop(f"{options.source} is no picture, folder, video file or stream")
    with ExitStack() as stack:
        write = _output(options.out)
        stack.enter_context(write)
        webhook = None
        if options.post:
            labels, cooldown_s = options.on, options.cooldown_s
            webhook = Webhook(options.post, labels, cooldown_s, options.source)
            stack.callback(webhook.close)
        answers = _live(client, options, stack) if live else _in_order(client, options)
        for frame, result in answers:
            write(frame, result)
            if webhook is not None:
                webhook(result)
    return 0


def _in_order(client: Client, options: Options) -> Iterator[tuple[Frame, Result]]:
    """Every frame of a file. The frames in flight wait here for their answers."""
    waiting: list[Frame] = []

    def pictures() -> Iterator[bytes]:
        for frame in read_file(options.source, options.every):
            waiting.append(frame)
            yield frame.jpeg

    for answer in client.detect_many(pictures(), in_flight=options.in_flight, **options.query()):
        assert isinstance(answer, Result)
        yield waiting.pop(0), answer


def _live(client: Client, options: Options, stack: ExitStack) -> Iterator[tuple[Frame, Result]]:
    """The newest frame each time the last one is answered; what came between is dropped."""
    source = stack.enter_context(LiveSource(options.source, options.every))
    for frame in source:
        try:
            yield frame, client.detect(frame.jpeg, **options.query())
        except (ConnectionFailed, InvalidPicture, Unavailable) as error:
            print(f"detect: frame {frame.number} skipped: {error}", file=sys.stderr)
            time.sleep(1)


class _JsonLines:
    """One line a frame on standard output or into a file."""

    def __init__(self, out: Path | None) -> None:
        self._out = out

    def __enter__(self) -> _JsonLines:
        self._file = sys.stdout if self._out is None else self._out.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._out is not None:
            self._file.close()

    def __call__(self, frame: Frame, result: Result) -> None:
        line = {"frame": frame.number, "time_s": frame.time_s, **result.to_dict()}
        print(json.dumps(line, ensure_ascii=False), file=self._file, flush=True)


class _Mp4:
    """The frames with their boxes drawn, at their own times."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._stream: Any = None

    def __enter__(self) -> _Mp4:
        import av

        self._container = av.open(str(self._out), "w", format="mp4")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def __call__(self, frame: Frame, result: Result) -> None:
        import av

        image = result.draw()
        even = (image.width & ~1, image.height & ~1)  # H.264's colour has half the resolution
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=30)
            self._stream.width, self._stream.height = even
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = TICK
        drawn = av.VideoFrame.from_image(image.crop((0, 0, *even)))
        drawn.pts = round(frame.time_s / TICK)
        drawn.time_base = TICK
        self._container.mux(self._stream.encode(drawn))


def _output(out: Path | None) -> _JsonLines | _Mp4:
    if out is None or out.suffix == ".jsonl":
        return _JsonLines(out)
    if out.suffix == ".mp4":
        return _Mp4(out)
    raise Stop(f"{out}: a video becomes .mp4 (boxes drawn) or .jsonl")
