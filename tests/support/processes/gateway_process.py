"""The gateway as its users meet it: a process, with its settings in the environment."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.support.processes import ticker
from tests.support.project import ROOT

LABEL = re.compile(r'\w+="(?:[^"\\]|\\.)*"')


class GatewayProcess:
    """`with GatewayProcess(backend=...) as gateway: gateway.http.post(...)`

    `ticks`: a file for the stalls of its event loop, see ticker.py.
    """

    launcher: tuple[str, ...] = ()  # a command that executes the rest of its arguments
    module = "service"

    def __init__(self, **settings: object) -> None:
        ticks = settings.pop("ticks", None)
        self._settings = {"port": 0, **settings}
        self._arguments = [self.module] if ticks is None else [ticker.MODULE, str(ticks), "gateway"]

    def __enter__(self) -> "GatewayProcess":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DETECT_")}
        environment |= {f"DETECT_{k.upper()}": str(v) for k, v in self._settings.items()}
        self._log = tempfile.TemporaryFile()
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [*self.launcher, sys.executable, "-m", *self._arguments],
            cwd=ROOT,
            env=environment,
            stderr=self._log,
        )
        self.url = f"http://127.0.0.1:{self._port()}"
        self.up_after_s = time.perf_counter() - self.started
        self.http = httpx.Client(base_url=self.url, timeout=30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()
        self.stop()
        self._log.close()

    def _port(self) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self._log_so_far("listening"):
                return int(line["port"])
            assert self.process.poll() is None, self._log_so_far()
            time.sleep(0.005)
        raise AssertionError(f"the gateway does not listen: {self._log_so_far()}")

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log, with the lines that it has logged and not written yet, at most 20 ms old."""
        time.sleep(0.05)
        return self._log_so_far(event)

    def _log_so_far(self, event: str | None = None) -> list[dict[str, Any]]:
        """Whole lines only; each must be JSON."""
        text = os.pread(self._log.fileno(), 1 << 24, 0).decode()
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if event in (None, line["event"])]

    def metric(self, sample: str) -> float:
        """The sum of the samples that have this name and at least these labels, written as /metrics
        writes them; 0 where there is none."""
        name, _, labels = sample.rstrip("}").partition("{")
        wanted = set(LABEL.findall(labels))
        total = 0.0
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith((name + " ", name + "{")):
                labels, _, value = line.removeprefix(name).rpartition(" ")
                total += float(value) if wanted <= set(LABEL.findall(labels)) else 0.0
        return total

    def requests(self, status: int, route: str = "unmatched") -> float:
        """Requests counted so far; `unmatched` are those that the application never saw."""
        return self.metric(f'detect_requests_total{{code="{status}",route="{route}"}}')

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def peak_mb(self) -> float:
        """The most memory that the process has ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+)", status)
        assert match
        return int(match[1]) / 1024

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


def wait_for(condition: Callable[[], object], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
