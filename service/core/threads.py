"""The CPU threads of a model server: how many cores there are, and how the profile uses them."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .logs.settings import LogSettings

CGROUPS = Path("/sys/fs/cgroup")

ThreadProfile = Annotated[Literal["latency", "throughput"], BeforeValidator(str.lower)]


class ThreadSettings(LogSettings):
    """Read once from the environment."""

    threads: ThreadProfile = Field(
        "latency",
        description="Threads of the model server that `make run` or an image starts; the gateway"
        " itself does not use it. `latency`: each operation uses all CPU cores, the fastest for one"
        " image at a time. `throughput`: one core for each image, more images per second under"
        " constant concurrent load.",
    )


def available_cores(cgroups: Path = CGROUPS) -> int:
    """The cores this process may use: its affinity, and its container's CPU limit, rounded up."""
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no limit, or no such version of cgroups
        quota, period = (cgroups / "cpu.max").read_text().split()  # version 2; "max" is no number
        cores = min(cores, math.ceil(int(quota) / int(period)))
    with suppress(OSError, ValueError):
        quota = (cgroups / "cpu/cpu.cfs_quota_us").read_text()  # version 1; -1 is no limit
        period = (cgroups / "cpu/cpu.cfs_period_us").read_text()
        if int(quota) > 0:
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def thread_flags(profile: ThreadProfile, cores: int) -> list[str]:
    """The flags of tensorflow_model_server, as docker/tfserving/serve.sh derives them."""
    if profile == "latency":
        return [f"--tensorflow_intra_op_parallelism={cores}"]
    return ["--tensorflow_intra_op_parallelism=1", f"--tensorflow_inter_op_parallelism={cores}"]
