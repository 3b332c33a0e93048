"""The host as psutil and nvidia-smi describe it."""

import os
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from loadtest import host
from loadtest.run import Host

Sensor = namedtuple("Sensor", "current")


def test_this_machine() -> None:
    described = Host(**host.describe())
    assert described.cores == psutil.cpu_count()
    assert described.memory_mb == psutil.virtual_memory().total // 2**20
    assert len(described.cpu) > 2
    readings = host.readings()
    assert 0 < (readings["host_memory_mb"] or 0) < described.memory_mb


def test_readings_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hottest plausible sensor and the mean frequency; None without sensors."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    sensors = {"a": [Sensor(61.5), Sensor(255.0)], "b": [Sensor(0.0), Sensor(40.0)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: Sensor(2500.04))
    monkeypatch.setattr(psutil, "cpu_percent", lambda: 75.0)
    readings = host.readings()
    assert readings["temperature_c"] == 61.5
    assert readings["frequency_mhz"] == 2500.0
    assert readings["host_cpu_percent"] == 75.0
    monkeypatch.setattr(psutil, "sensors_temperatures", dict)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    readings = host.readings()
    assert (readings["temperature_c"], readings["frequency_mhz"]) == (None, None)


def test_a_gpus_temperature_and_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in *temperature*) echo "71, 1350";; *) echo "Tesla T4";; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert host.describe()["gpu"] == "Tesla T4"
    readings = host.readings()
    assert (readings["temperature_c"], readings["frequency_mhz"]) == (71.0, 1350.0)
