"""The machine the load comes from: what it is, and how busy and warm. None is: cannot be read."""

import contextlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path("/")


def describe(root: Path = ROOT) -> dict[str, Any]:
    cpu = [line.partition(":")[2].strip() for line in _lines(root, "proc/cpuinfo", "model name")]
    total = _memory_kb(root).get("MemTotal")
    gpu = _nvidia("name")
    neuron = len(list(root.glob("dev/neuron[0-9]*")))
    return {
        "cpu": cpu[0] if cpu else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mb": total // 1024 if total else 0,
        "kernel": platform.release(),
        "gpu": gpu[0] if gpu else None,
        "neuron": f"{neuron} Neuron device{'s' * (neuron > 1)}" if neuron else None,
    }


class HostReadings:
    """`read()`: as a window of a run has them; the CPU's share since the reading before.

    Temperature and frequency are the GPU's where there is one, for it is the one that throttles;
    otherwise the hottest sensor's, and the mean of the cores'.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._before = self._cpu_ticks()

    def read(self) -> dict[str, float | None]:
        memory = _memory_kb(self._root)
        used = memory["MemTotal"] - memory["MemAvailable"] if "MemAvailable" in memory else None
        gpu = _nvidia("temperature.gpu,clocks.sm")
        numbers = [_number(text) for text in gpu] if len(gpu) == 2 else [None, None]
        return {
            "host_cpu_percent": self._cpu_percent(),
            "host_memory_mb": None if used is None else round(used / 1024, 1),
            "temperature_c": self._temperature() if numbers[0] is None else numbers[0],
            "frequency_mhz": self._frequency() if numbers[1] is None else numbers[1],
        }

    def _cpu_ticks(self) -> tuple[int, int]:
        """Busy and all, of all cores since the start of the machine."""
        for line in _lines(self._root, "proc/stat", "cpu "):
            ticks = [int(text) for text in line.split()[1:9]]  # guests are in user already
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # idle, iowait
        return 0, 0

    def _cpu_percent(self) -> float | None:
        before, self._before = self._before, self._cpu_ticks()
        every = self._before[1] - before[1]
        return round(100 * (self._before[0] - before[0]) / every, 1) if every > 0 else None

    def _temperature(self) -> float | None:
        found = _numbers(self._root, "sys/class/thermal/thermal_zone*/temp")
        found += _numbers(self._root, "sys/class/hwmon/hwmon*/temp*_input")
        likely = [number / 1000 for number in found if 0 < number < 150_000]
        return round(max(likely), 1) if likely else None

    def _frequency(self) -> float | None:
        found = _numbers(self._root, "sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")
        found = [number / 1000 for number in found]
        if not found:
            texts = [x.partition(":")[2] for x in _lines(self._root, "proc/cpuinfo", "cpu MHz")]
            found = [n for n in map(_number, texts) if n is not None]
        return round(sum(found) / len(found), 1) if found else None


def _lines(root: Path, name: str, start: str) -> list[str]:
    try:
        text = (root / name).read_text()
    except OSError:
        return []
    return [line for line in text.splitlines() if line.startswith(start)]


def _memory_kb(root: Path) -> dict[str, int]:
    parts = (line.partition(":") for line in _lines(root, "proc/meminfo", "Mem"))
    return {name: int(value.split()[0]) for name, _, value in parts}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _numbers(root: Path, pattern: str) -> list[float]:
    found = []
    for path in root.glob(pattern):
        with contextlib.suppress(OSError, ValueError):  # a sensor may refuse to be read
            found.append(float(path.read_text()))
    return found


def _nvidia(fields: str) -> list[str]:
    """These of the first GPU; empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    first = done.stdout.splitlines()[:1] if done.returncode == 0 else []
    return [text.strip() for line in first for text in line.split(",")]
