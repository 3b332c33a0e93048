"""Two versions of one model at once: what serve.sh and `make run` write for a canary."""

import os
import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.config import model_server_config_pb2

from service.run import write_config
from tests.support.project import ROOT

PRINT = """#!/bin/bash
for flag; do
  echo "$flag"
  case $flag in --model_config_file=*) cat "${flag#*=}" ;; esac
done
"""
LABELS_BEFORE_LOADING = "--allow_version_labels_for_unavailable_models=true"


def served(folder: Path, **environment: str) -> tuple[list[str], str]:
    """serve.sh's flags, and the text of its configuration."""
    server = folder / "tensorflow_model_server"
    server.write_text(PRINT)
    server.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "docker" / "tfserving" / "serve.sh"],
        env={"PATH": f"{folder}:{os.defpath}", "MODEL_NAME": "m", **environment},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines(keepends=True)
    flags = [line.strip() for line in lines if line.startswith("--")]
    return flags, "".join(line for line in lines if not line.startswith("--"))


def model(text: str) -> model_server_config_pb2.ModelConfig:
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (only,) = config.model_config_list.config
    return only


def test_versions_and_labels_of_the_image(tmp_path: Path) -> None:
    flags, text = served(tmp_path, MODEL_VERSIONS="1,2", MODEL_LABELS="stable=1,canary=2")
    config = model(text)
    assert (config.name, config.base_path) == ("m", "/models/m")
    assert config.model_platform == "tensorflow"
    assert list(config.model_version_policy.specific.versions) == [1, 2]
    assert dict(config.version_labels) == {"stable": 1, "canary": 2}
    assert LABELS_BEFORE_LOADING in flags


def test_without_versions_the_newest_is_served(tmp_path: Path) -> None:
    flags, text = served(tmp_path)
    assert text == ""
    assert "--model_base_path=/models/m" in flags
    assert LABELS_BEFORE_LOADING not in flags


@pytest.mark.parametrize("variable", ["DETECT_CANARY", "DETECT_SHADOW"])
def test_make_run_loads_all_versions_for_a_canary(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases = {"m": tmp_path}
    newest = model(write_config(bases, tmp_path).read_text())
    assert newest.model_version_policy.WhichOneof("policy_choice") is None
    monkeypatch.setenv(variable, "2:10")
    every = model(write_config(bases, tmp_path).read_text())
    assert every.model_version_policy.WhichOneof("policy_choice") == "all"
