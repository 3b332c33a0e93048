"""A server and all its children as one thing: started, its CPU time read, ended."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
END_S = 15


class ProcessTree:
    """`with ProcessTree(command, ...) as tree`; its output goes to the file `log`."""

    def __init__(self, command: list[str], cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._env = {**os.environ, **env}
        self.log = log

    def __enter__(self) -> "ProcessTree":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone; we then end it in order
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        members = family(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)
        for pid, started in members.items():
            if _stat(pid).get("starttime") == started:  # still there, and not a newcomer's number
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def cpu_s(self) -> float:
        """User and system time of the whole tree so far, in seconds."""
        ticks = 0
        for pid in family(self.process.pid):
            stat = _stat(pid)
            # Its own, and that of its children who have ended and were waited for.
            ticks += sum(stat.get(name, 0) for name in ("utime", "stime", "cutime", "cstime"))
        return ticks / TICKS_PER_S

    def ended(self) -> bool:
        return self.process.poll() is not None

    def log_end(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def family(root: int) -> dict[int, int]:
    """`root` and all that descend from it: process id -> start time."""
    everyone = {int(entry.name): _stat(int(entry.name)) for entry in _processes()}
    found: dict[int, int] = {}
    wave = [root]
    while wave:
        for pid in wave:
            found[pid] = everyone.get(pid, {}).get("starttime", 0)
        wave = [
            pid for pid, stat in everyone.items() if stat.get("ppid") in wave and pid not in found
        ]
    return found


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> dict[str, int]:
    """Numbers of /proc/PID/stat, see proc(5); empty where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return {}
    values = text.rpartition(")")[2].split()  # the name before may hold anything; state comes next
    names = {"ppid": 1, "utime": 11, "stime": 12, "cutime": 13, "cstime": 14, "starttime": 19}
    return {name: int(values[place]) for name, place in names.items()}
