"""A server and all its child processes: start, CPU time, memory, termination."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import psutil

TERMINATE_TIMEOUT_S = 15
MB = 1 << 20


class ProcessTree:
    """`with ProcessTree(command, ...) as tree`; its output goes to the file `log`."""

    def __init__(self, command: list[str], cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._env = {**os.environ, **env}
        self.log = log

    def __enter__(self) -> "ProcessTree":
        with self.log.open("wb") as log:
            self._process = psutil.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process only, which ends the tree
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        members = self.members()
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()
        with suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
            self._process.wait(TERMINATE_TIMEOUT_S)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.wait()

    def members(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_s(self) -> float:
        """User and system time of the whole tree so far, children that ended included."""
        total = 0.0
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def resident_mb(self) -> float:
        total = 0
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
        return total / MB

    def ended(self) -> bool:
        return self._process.poll() is not None

    def log_end(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@contextmanager
def background(command: list[str], cwd: Path, **streams: int) -> "Iterator[subprocess.Popen[str]]":
    """A process that is terminated at the end. `streams`: as for Popen."""
    with subprocess.Popen(command, cwd=cwd, text=True, **streams) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()
