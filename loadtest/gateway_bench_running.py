"""The servers while they run: up before the null backend, asked once, loaded for a while."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from .gateway_bench_client import BadAnswer, Load, drive, multipart_request, raw_request
from .gateway_bench_process import ProcessTree
from .gateway_bench_report import Window, window
from .gateway_bench_servers import CACHE, RAW, ROOT, Server

START_S = 60  # until it listens
SETTLE_S = 5  # then, until it answers 200


class NotUp(Exception):
    """The end of the server's log is part of the message."""


@contextmanager
def null_backend() -> Iterator[str]:
    """Its gRPC target."""
    command = [sys.executable, "-m", "loadtest.null_backend", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def running(server: Server, backend: str, jpeg: bytes) -> Iterator["Running"]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    CACHE.mkdir(exist_ok=True)
    log = CACHE / f"{server.name.replace(' ', '-')}.log"
    command = [str(server.python), *server.command]
    with ProcessTree(command, ROOT, server.environment(port, backend), log) as tree:
        yield Running(server, tree, port, jpeg)


class Running:
    """One request for each kind of upload, ready to be sent as often as needed."""

    def __init__(self, server: Server, tree: ProcessTree, port: int, jpeg: bytes) -> None:
        self.server = server
        self.tree = tree
        self.port = port
        self._requests = {
            upload: (raw_request if upload == RAW else multipart_request)(path, jpeg)
            for upload, path in server.paths.items()
        }

    def answer(self, upload: str) -> Any:
        """Its JSON, as soon as there is any. Raises NotUp."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return json.loads(self._load(upload, 1, 0).body)
            except (OSError, BadAnswer) as error:
                if isinstance(error, BadAnswer):
                    deadline = min(deadline, time.monotonic() + SETTLE_S)
                if self.tree.ended() or time.monotonic() > deadline:
                    raise NotUp(f"{error}\n{self.tree.log_end()}") from error
            time.sleep(0.1)

    def measure(self, upload: str, connections: int, warm_up_s: float, seconds: float) -> Window:
        """Raises BadAnswer where one answer is not 200 or differs from the one before."""
        self._load(upload, connections, warm_up_s)
        before = self.tree.cpu_s()
        load = self._load(upload, connections, seconds)
        return window(load, self.tree.cpu_s() - before)

    def _load(self, upload: str, connections: int, seconds: float) -> Load:
        return uvloop.run(drive(self.port, self._requests[upload], connections, seconds))
