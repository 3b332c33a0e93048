"""Neuron's wheels in Dockerfile.inf1: the default versions, and hashes of one's own."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.neuron_stand_in import repositories
from tests.support.processes import compose
from tests.support.project import ROOT
from yolov4.export import neuron, neuron_tf1

DOCKERFILE = (ROOT / "Dockerfile.inf1").read_text()
FILES = re.findall(r"^ARG NEURON_REQUIREMENTS=(\S+)$", DOCKERFILE, re.M)


def requirements(file: str) -> list[str]:
    return re.findall(r"^[^#\s]+", (ROOT / file).read_text(), re.M)


def test_the_defaults_are_what_the_exporter_asks_for() -> None:
    assert [requirements(file)[0] for file in FILES] == [neuron.PACKAGE, neuron_tf1.PACKAGE]
    for file in FILES:
        assert all("==" in line or "<" in line for line in requirements(file))
    assert DOCKERFILE.count('-r "${NEURON_REQUIREMENTS}"') == len(FILES)


def test_compose_passes_the_file_on() -> None:
    locked = "requirements/neuron210.txt"
    services = compose.config("inf1", NEURON_REQUIREMENTS=locked)["services"]
    assert services["compile"]["build"]["args"]["NEURON_REQUIREMENTS"] == locked


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_pip_checks_the_hashes_of_a_lock_file(file: str, tmp_path: Path) -> None:
    repositories.wheels(tmp_path / "index")
    wheels = {wheel.stem: wheel for wheel in tmp_path.glob("index/*/*.whl")}
    neurons = [line for line in requirements(file) if "neuron" in line]
    assert len(neurons) == 2

    def install(damaged: str) -> "subprocess.CompletedProcess[str]":
        lines = []
        for line in neurons:
            name, version = re.split(r"(?:\[cc\])?==", line)
            data = wheels[f"{name.replace('-', '_')}-{version}-py3-none-any"].read_bytes()
            digest = hashlib.sha256(data + b"x" * (name == damaged)).hexdigest()
            lines.append(f"{line} --hash=sha256:{digest}\n")
        locked = tmp_path / "locked.txt"
        locked.write_text("".join(lines))
        links = [f"--find-links={folder}" for folder in (tmp_path / "index").iterdir()]
        pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
        options = ("--no-deps", "--no-index", "--no-cache-dir", f"--target={tmp_path / damaged}")
        return subprocess.run(
            [*pip, *options, *links, "-r", locked], capture_output=True, text=True
        )

    done = install("")
    assert done.returncode == 0, done.stderr
    for name in ("tensorflow-neuron", "neuron-cc"):
        done = install(name)
        assert done.returncode != 0
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert name in done.stderr
