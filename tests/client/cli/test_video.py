"""`detect VIDEO`: files complete and in order, streams with the newest frame."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from detect_client import Client
from detect_client.cli.main import main
from detect_client.cli.sources import LiveSource, read_file

from tests.support.fakes.fake_backend import FakeBackend, Row, answer
from tests.support.fakes.http_server import HttpServer, Request
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT

FRAMES = 12


def look(picture: bytes) -> object:
    """The box of what is bright: different for every frame, as a detector's would be."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        bright = np.argwhere(np.asarray(image.convert("L")) > 128)
    if not len(bright):
        return answer([])
    (y_min, x_min), (y_max, x_max) = bright.min(axis=0), bright.max(axis=0)
    row: Row = ("ball", 0, 0.9, (float(x_min), float(y_min), float(x_max), float(y_max)))
    return answer([row])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeBackend(look) as backend, GatewayProcess(backend=backend.target) as gateway:
        yield gateway.url


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A white square that moves by eight pixels a frame, ten frames a second."""
    path = tmp_path_factory.mktemp("video") / "ball.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(FRAMES):
            pixels = np.zeros((96, 160, 3), np.uint8)
            pixels[32:64, 8 * number + 8 : 8 * number + 40] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_frame_has_the_boxes_of_a_single_call(
    url: str, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(video), "--url", url]) == 0
    found = lines(capsys.readouterr().out)
    assert [line["frame"] for line in found] == list(range(FRAMES))
    assert [line["time_s"] for line in found] == pytest.approx([n / 10 for n in range(FRAMES)])
    with Client(url) as client:
        single = [client.detect(frame.jpeg).to_dict() for frame in read_file(str(video), 1)]
    assert [line["detections"] for line in found] == [answer["detections"] for answer in single]
    left = [line["detections"][0]["box"]["x_min"] for line in found]  # type: ignore[index]
    assert np.diff(left) == pytest.approx([8] * (FRAMES - 1), abs=2)


def test_every_third_frame_into_a_file(url: str, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert main([str(video), "--url", url, "--every", "3", "--out", str(out)]) == 0
    assert [line["frame"] for line in lines(out.read_text())] == [0, 3, 6, 9]


def test_an_annotated_video_keeps_its_frames_and_times(
    url: str, video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "drawn.mp4"
    assert main([str(video), "--url", url, "--out", str(out)]) == 0
    with av.open(str(out)) as container:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx([n / 10 for n in range(FRAMES)], abs=0.01)
    colour = frames[0][1].astype(int)
    assert np.ptp(colour, axis=2).max() > 60  # a box in colour, on black and white


def test_a_file_that_is_not_a_video(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.mp4").write_bytes(b"rubbish" * 100)
    assert main([str(tmp_path / "x.mp4"), "--url", url]) == 1
    assert "cannot be read as video" in capsys.readouterr().err
    assert main([str(tmp_path / "x.mp4"), "--url", url, "--out", "o.avi"]) == 1
    assert "a video becomes .mp4" in capsys.readouterr().err


def mjpeg(first: int) -> bytes:
    """A stream of three JPEGs that then breaks."""
    import io

    from PIL import Image

    parts = []
    for number in range(first, first + 3):
        out = io.BytesIO()
        pixels = np.zeros((96, 160, 3), np.uint8)
        pixels[32:64, 8 * number + 8 : 8 * number + 40] = 255
        Image.fromarray(pixels).save(out, "JPEG", quality=95)
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {out.tell()}\r\n\r\n"
        parts.append(head.encode() + out.getvalue() + b"\r\n")
    return b"".join(parts)


def test_a_stream_that_breaks_twice_resumes_and_calls_the_webhook(url: str, tmp_path: Path) -> None:
    opened = 0

    def camera(_: Request) -> tuple[int, dict[str, str], bytes]:
        nonlocal opened
        opened += 1
        body = mjpeg(3 * opened)
        kind = "multipart/x-mixed-replace; boundary=frame"
        return 200, {"Content-Type": kind, "Content-Length": str(len(body) + 1)}, body

    out = tmp_path / "out.jsonl"
    with HttpServer(camera) as stream, HttpServer(lambda _: (204, {}, b"")) as hook:
        command = [sys.executable, "-m", "detect_client.cli.main", f"{stream.url}/video"]
        command += ["--url", url, "--out", str(out), "--on", "ball", "--post", hook.url]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            wait_for(lambda: opened >= 3 and out.exists() and out.stat().st_size, 30)
            last = max(line["frame"] for line in lines(out.read_text()))  # type: ignore[type-var]
            wait_for(lambda: opened >= 4, 30)
        finally:
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=20)
        assert process.returncode == 130, error
        assert b"again in 0.5 s" in error
        assert last > 2  # type: ignore[operator]
        (event,) = [json.loads(request.body) for request in hook.requests]
        assert (event["label"], event["source"]) == ("ball", f"{stream.url}/video")
        assert event["box"]["x_min"] > 0


def test_nothing_reads_the_stream_after_its_end() -> None:
    kind = {"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
    with HttpServer(lambda _: (200, kind, mjpeg(0))) as stream:
        for _ in range(5):
            with LiveSource(f"{stream.url}/video", 1) as source:
                assert next(iter(source)).jpeg
            assert "stream" not in {thread.name for thread in threading.enumerate()}


def test_frames_know_their_time(video: Path) -> None:
    frames = list(read_file(str(video), 5))
    assert [(f.number, Fraction(f.time_s).limit_denominator(10)) for f in frames] == [
        *((0, 0), (5, Fraction(1, 2)), (10, 1)),
    ]
