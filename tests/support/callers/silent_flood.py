"""Connections that send nothing, from a process of their own.

    python -m tests.support.callers.silent_flood PORT COUNT

Keeps COUNT of them open, and reopens each as soon as it is closed. Prints a line at the first one
that is reopened, and their number at SIGTERM.
"""

import resource
import selectors
import signal
import socket
import subprocess
import sys
from types import TracebackType
from typing import NoReturn

from tests.support.project import ROOT


class SilentFlood:
    """`with SilentFlood(port, 2000) as flood:` begins when the first connection was reopened."""

    def __init__(self, port: int, count: int) -> None:
        self._arguments = (str(port), str(count))
        self.reopened = 0  # set at the end

    def __enter__(self) -> "SilentFlood":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.callers.silent_flood", *self._arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "reopened\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        output, _ = self._process.communicate(timeout=20)
        if error is None:
            self.reopened = int(output)


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def flood(port: int, count: int) -> NoReturn:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    reopened = 0

    def end(*_: object) -> NoReturn:
        say(reopened)
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    selector = selectors.DefaultSelector()

    def connect() -> None:
        selector.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)

    for _ in range(count):
        connect()
    while True:
        for key, _ in selector.select():
            client = key.fileobj
            assert isinstance(client, socket.socket)
            try:
                closed = not client.recv(65536)
            except ConnectionError:
                closed = True
            if closed:
                selector.unregister(client)
                client.close()
                connect()
                reopened += 1
                if reopened == 1:
                    say("reopened")


if __name__ == "__main__":
    flood(*map(int, sys.argv[1:]))
