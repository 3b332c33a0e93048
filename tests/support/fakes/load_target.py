"""A service to put load on: a real socket, answers after a chosen time, and it can go away."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.fakes.fake_service import Reply, found
from tests.support.project import ROOT


@dataclass
class LoadTarget:
    """`reply` makes a picture's answer. `received`: pictures, in the order of their arrival."""

    reply: Callable[[bytes], Reply] = lambda picture: found([])
    takes_s: float = 0.0
    received: list[bytes] = field(default_factory=list)
    requests: int = 0
    stall_until: float = 0.0  # of time.monotonic: nothing is answered before
    ready: int = 200
    port: int = 0
    query: str = ""  # of the last request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "LoadTarget":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Also after `stop`, on the same port."""
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        assert started.wait(10)

    def stop(self) -> None:
        """As a process that is killed: connections end at once, whatever is under way."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended
                self.stop_soon()
            self._thread.join(10)

    def stop_soon(self) -> None:
        """Without waiting, so that `reply` can ask for it too."""
        self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._over.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = 0
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        length = int(line.partition(":")[2])
                body = await reader.readexactly(length)
                status, content = await self._answer(head, body)
                data = json.dumps(content).encode()
                writer.write(b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n" % (status, len(data)))
                writer.write(data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, head: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if head.startswith("GET /readyz "):
            return self.ready, {}
        if not head.startswith("POST /detect"):
            return 404, {"detail": "Not Found"}
        batch = head.startswith("POST /detect/batch")
        self.query = head.split()[1].partition("?")[2]
        pictures = parts(body) if batch else [body]
        self.received += pictures
        self.requests += 1
        replies = [self.reply(picture) for picture in pictures]
        await asyncio.sleep(max(self.takes_s, self.stall_until - time.monotonic()))
        if not batch or all(status >= 500 for status, _, _ in replies):
            return replies[0][0], replies[0][1]
        contents = [c if status == 200 else {"error": c} for status, c, _ in replies]
        return 200, {"results": contents}


def parts(body: bytes) -> list[bytes]:
    """The parts of a form, by its boundary."""
    boundary = body.split(b"\r\n", 1)[0]
    return [part.split(b"\r\n\r\n", 1)[1][:-2] for part in body.split(boundary)[1:-1]]


def folder_of(folder: Path, count: int) -> Path:
    """A folder of pictures whose bytes are their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:02}.jpg").write_bytes(b"picture %d" % number)
    (folder / "notes.txt").write_text("no picture")
    return folder


def run_json(images: Path) -> dict[str, Any]:
    """What a run with `--out` beside the folder of the pictures wrote."""
    run: dict[str, Any] = json.loads((images.parent / "out" / "run.json").read_text())
    return run


@contextlib.contextmanager
def running(arguments: list[str]) -> Generator["subprocess.Popen[str]", None, None]:
    """`python -m loadtest` as a process, which does not outlive a test that fails."""
    command = [sys.executable, "-m", "loadtest", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()
