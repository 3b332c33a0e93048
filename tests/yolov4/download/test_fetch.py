"""Downloads from a server of the test's own: whole, resumed, cut off, wrong, absent."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from yolov4.download.fetch import download
from yolov4.download.official import WEIGHTS, File
from yolov4.errors import ModelError

DATA = bytes(i * 7 % 251 for i in range(600_000))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    data = DATA
    cut = 1 << 30  # bytes after which the connection ends
    ranges: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(self.server.data) - begin))
        self.end_headers()
        self.wfile.write(self.server.data[begin : begin + self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges = []
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def file(server: Server) -> File:
    url = f"http://127.0.0.1:{server.server_address[1]}/net.weights"
    return File(url, len(DATA), hashlib.sha256(DATA).hexdigest())


def test_whole(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights" / "net.weights"
    download(file(server), path)
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    assert "net.weights [##############################] 0.6 of 0.6 MB" in capsys.readouterr().err
    download(file(server), path)  # it is there: checked, not brought again
    assert server.ranges == [None]


def test_cut_off_and_resumed(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "net.weights"
    server.cut = 200_000
    with pytest.raises(ModelError, match=r"200,000 of 600,000|IncompleteRead|bytes"):
        download(file(server), path)
    assert not path.exists()
    server.cut = 1 << 30
    download(file(server), path)
    assert path.read_bytes() == DATA
    assert server.ranges == [None, "bytes=200000-"]


def test_a_wrong_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "net.weights"
    server.data = DATA[:-1] + b"!"
    with pytest.raises(ModelError, match="not the official file"):
        download(file(server), path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_that_was_brought_is_refused_and_kept(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "net.weights"
    path.write_bytes(DATA[:10])
    with pytest.raises(ModelError, match="has 10 bytes, but 600,000 are expected"):
        download(file(server), path)
    assert path.exists()


def test_offline_names_the_file_to_bring(tmp_path: Path) -> None:
    path = tmp_path / "net.weights"
    with pytest.raises(ModelError) as caught:
        download(File("http://127.0.0.1:1/net.weights", 600_000, ""), path)
    assert "Connection refused" in str(caught.value)
    assert f"copy the file (600,000 bytes) to {path}" in str(caught.value)


def test_the_official_files() -> None:
    assert WEIGHTS["yolov4"].size == 20 + 4 * 64_429_405
    assert {len(f.sha256) for f in WEIGHTS.values()} == {64}
