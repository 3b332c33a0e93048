"""Cores of a container, the thread profile, and the flags that serve.sh derives from both."""

import os
import subprocess
from pathlib import Path

import pytest

from service.core.logs.settings import SettingsError
from service.core.threads import ThreadSettings, available_cores, thread_flags
from tests.support.project import ROOT

CGROUPS = [
    ({"cpu.max": "100000 100000\n"}, 1),
    ({"cpu.max": "150000 100000\n"}, 2),
    ({"cpu.max": "10000 100000\n"}, 1),
    ({"cpu.max": "max 100000\n"}, 7),
    ({"cpu.max": "900000 100000\n"}, 7),
    ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 7),
    ({}, 7),
]


@pytest.fixture(params=CGROUPS, ids=str)
def container(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """A cgroup folder, and the cores that 7 CPUs come to under its limit."""
    files, cores = request.param
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path, cores


def test_cores_are_what_the_cgroup_gives(
    container: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(7)))
    folder, cores = container
    assert available_cores(folder) == cores


def serve(
    folder: Path, cpus: int, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """serve.sh in a container whose cgroup is `folder`, with a server that prints its flags."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, line in (
        ("tensorflow_model_server", 'printf "%s\\n" "$@"'),
        ("nproc", f"echo {cpus}"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    script = (ROOT / "docker" / "tfserving" / "serve.sh").read_text()
    assert script.count("/sys/fs/cgroup") == 1
    command = ["bash", "-c", script.replace("/sys/fs/cgroup", str(folder)), "serve", *arguments]
    path = f"{programs}:{os.defpath}"
    return subprocess.run(
        command,
        env={"PATH": path, "MODEL_NAME": "m", **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("profile", ["latency", "throughput"])
def test_serve_and_run_derive_the_same_flags(container: tuple[Path, int], profile: str) -> None:
    folder, cores = container
    done = serve(folder, 7, DETECT_THREADS=profile)
    flags = [line for line in done.stdout.splitlines() if "parallelism" in line]
    assert flags == thread_flags(ThreadSettings(threads=profile).threads, cores)


def test_one_core_for_each_image_or_all() -> None:
    assert thread_flags("latency", 4) == ["--tensorflow_intra_op_parallelism=4"]
    assert thread_flags("throughput", 4) == [
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=4",
    ]


def test_arguments_of_the_container_come_last_and_win(tmp_path: Path) -> None:
    override = "--tensorflow_intra_op_parallelism=3"
    flags = serve(tmp_path, 7, override, DETECT_THREADS="Throughput").stdout.splitlines()
    assert flags.index(override) > flags.index("--tensorflow_intra_op_parallelism=1")


@pytest.mark.parametrize("value", ["fast", ""])
def test_another_profile_is_an_error(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = serve(tmp_path, 7, DETECT_THREADS=value)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"DETECT_THREADS={value}: use latency or throughput.\n"
    monkeypatch.setenv("DETECT_THREADS", value)
    with pytest.raises(
        SettingsError, match=f"DETECT_THREADS='{value}': .*'latency' or 'throughput'"
    ):
        ThreadSettings.load()
