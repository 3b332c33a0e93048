"""The compared servers while they run: in front of the null backend, asked once, under load."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from ..client import Service
from .client import BadResponse, Load, drive
from .gateway_table import Window, window
from .processes import ProcessTree, background
from .servers import CACHE, RAW, ROOT, Server

START_TIMEOUT_S = 60  # until it listens
SETTLE_TIMEOUT_S = 5  # from then until it returns 200


class NotUp(Exception):
    """The message includes the end of the server's log."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def local(port: int) -> Service:
    return Service.at(f"http://127.0.0.1:{port}")


@contextmanager
def null_backend() -> Iterator[str]:
    """Yields its gRPC target."""
    command = [sys.executable, "-m", "loadtest.bench.null_backend", "--port", "0"]
    with background(command, ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def running(server: Server, backend: str, jpeg: bytes) -> "Iterator[Running]":
    port = free_port()
    CACHE.mkdir(exist_ok=True)
    log = CACHE / f"{server.name.replace(' ', '-')}.log"
    command = [str(server.python), *server.command]
    with ProcessTree(command, ROOT, server.environment(port, backend), log) as tree:
        yield Running(server, tree, local(port), jpeg)


class Running:
    """`requests`: a prepared request for each kind of upload."""

    def __init__(self, server: Server, tree: ProcessTree, service: Service, jpeg: bytes) -> None:
        self.server = server
        self.tree = tree
        self.service = service
        self.requests = {
            upload: service.request(f"POST {path}", "image/jpeg", jpeg)
            if upload == RAW
            else service.detect_multipart([jpeg], path=path)
            for upload, path in server.paths.items()
        }

    def answer(self, upload: str) -> Any:
        """Its JSON, as soon as the server returns any. Raises NotUp."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return json.loads(self.load(upload, 1, 0).body)
            except (BadResponse, TimeoutError) as error:
                if error.__cause__ is None:  # it listens
                    deadline = min(deadline, time.monotonic() + SETTLE_TIMEOUT_S)
                if self.tree.ended() or time.monotonic() > deadline:
                    raise NotUp(f"{error}\n{self.tree.log_end()}") from error
            time.sleep(0.1)

    def measure(self, upload: str, connections: int, warm_up_s: float, seconds: float) -> Window:
        self.load(upload, connections, warm_up_s)
        before = self.tree.cpu_s()
        load = self.load(upload, connections, seconds)
        return window(load, self.tree.cpu_s() - before)

    def load(self, upload: str, connections: int, seconds: float) -> Load:
        """Raises BadResponse."""
        return uvloop.run(drive(self.service, self.requests[upload], connections, seconds))
