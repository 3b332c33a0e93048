"""The machine that generates the load: its hardware, and how busy and warm it is.

A reading is None where the system does not provide it.
"""

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

MB = 1 << 20


def describe() -> dict[str, Any]:
    """Fields of `loadtest.run.Host`."""
    gpu = _nvidia("name")
    neuron = len(list(Path("/dev").glob("neuron[0-9]*")))
    return {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count() or 1,
        "memory_mb": psutil.virtual_memory().total // MB,
        "kernel": platform.release(),
        "gpu": gpu[0] if gpu else None,
        "neuron": f"{neuron} Neuron device{'s' * (neuron > 1)}" if neuron else None,
    }


def readings() -> dict[str, float | None]:
    """Fields of `loadtest.run.Window`; CPU utilization is that since the previous reading.

    Temperature and frequency are the GPU's where there is one, since the GPU throttles first;
    otherwise the hottest sensor's, and the mean of the cores. Call it in a thread: nvidia-smi is
    slow.
    """
    memory = psutil.virtual_memory()
    gpu = _nvidia("temperature.gpu,clocks.sm")
    temperature, frequency = map(_number, gpu) if len(gpu) == 2 else (None, None)
    return {
        "host_cpu_percent": psutil.cpu_percent(),
        "host_memory_mb": round((memory.total - memory.available) / MB, 1),
        "temperature_c": _temperature() if temperature is None else temperature,
        "frequency_mhz": _frequency() if frequency is None else frequency,
    }


def _cpu_name() -> str:
    """psutil has no name of the CPU, and on Linux `platform` has none either."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _temperature() -> float | None:
    if not hasattr(psutil, "sensors_temperatures"):
        return None  # Windows and macOS
    sensors = [sensor for chip in psutil.sensors_temperatures().values() for sensor in chip]
    plausible = [sensor.current for sensor in sensors if 0 < sensor.current < 150]
    return round(max(plausible), 1) if plausible else None


def _frequency() -> float | None:
    frequency = psutil.cpu_freq()
    return round(frequency.current, 1) if frequency and frequency.current else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # such as `[N/A]`


def _nvidia(fields: str) -> list[str]:
    """These fields of the first GPU; empty without one."""
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
