"""Docker for tests: what there is of it on this machine, and compose with the project's file."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT

TARGETS = ("cpu", "g4", "inf1")


def run(
    *command: str | Path, environment: dict[str, str] | None = None, timeout: float = 60
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@functools.cache
def compose_command() -> tuple[str, ...] | None:
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) and run(*command, "version").returncode == 0:
            return command
    return None


def compose() -> tuple[str, ...]:
    """The command, or the test is skipped."""
    command = compose_command()
    if command is None:
        pytest.skip("needs docker compose")
    return command


def config(target: str, **variables: str) -> dict[str, Any]:
    """docker-compose.yml as compose understands it for one target, without the caller's .env."""
    clean = {"TARGET": target, "COMPOSE_PROFILES": "", **variables}
    command = (*compose(), "--env-file", os.devnull, "config", "--format", "json")
    done = run(*command, environment=clean)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def engine() -> None:
    """A Docker engine that runs, or the test is skipped."""
    if shutil.which("docker") is None:
        pytest.skip("needs Docker")
    done = run("docker", "version", "--format", "{{.Server.Version}}")
    if done.returncode != 0:
        pytest.skip(f"needs a running Docker engine: {done.stderr.strip()}")


def image(name: str) -> str:
    """An image that is here or can be pulled, or the test is skipped."""
    if run("docker", "image", "inspect", name).returncode != 0:
        pulled = run("docker", "pull", "-q", name, timeout=600)
        if pulled.returncode != 0:
            pytest.skip(f"{name} cannot be pulled: {pulled.stderr.strip()}")
    return name


def linter(name: str) -> str:
    """On the PATH or in the environment of these tests, or the test is skipped."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
