"""The fake backend as a process: it can be killed, paused and started again."""

import signal
import subprocess
import sys
import time
from types import TracebackType

from tests.support.fakes.fake_backend import CAT, DOG, FakeBackend, answer
from tests.support.project import ROOT


class BackendProcess:
    """Listens while the `with` lasts, on the same port after every `start`."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, delay_s: float = 0.02, version: int = 3
    ) -> None:
        self.host, self.port, self.delay_s, self.version = host, port, delay_s, version

    def __enter__(self) -> "BackendProcess":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        arguments = [self.host, str(self.port), str(self.delay_s), str(self.version)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.backend_process", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        self.target = f"{self.host}:{self.port}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    host, port, delay_s, version = sys.argv[1:]
    with FakeBackend(
        reply=lambda _: answer([DOG, CAT], int(version)),
        host=host,
        port=int(port),
        delay_s=float(delay_s),
        version=int(version),
    ) as backend:
        sys.stdout.write(f"{backend.port}\n")
        sys.stdout.flush()
        while True:
            time.sleep(60)
