"""The shell scripts of the images, run without an engine."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import compose
from tests.support.project import ROOT

SCRIPTS = [*(ROOT / "docker").rglob("*.sh"), *(ROOT / "tests" / "docker" / "stand_in").glob("*.sh")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_parse(path: Path) -> None:
    assert os.access(path, os.X_OK)
    shell = path.read_text().splitlines()[0].rpartition("/")[2]
    done = compose.run(shell, "-n", path)
    assert done.returncode == 0, done.stderr


def compile_(models: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """docker/compile.sh with a folder in the place of /models, and `echo` in that of Python."""
    script = (ROOT / "docker" / "compile.sh").read_text().replace("/models", str(models))
    script = script.replace("  python -m", "  echo python -m")
    return subprocess.run(
        ["sh", "-c", script], env={"PATH": os.defpath, **variables}, capture_output=True, text=True
    )


def test_compile_passes_the_environment_to_prepare(tmp_path: Path) -> None:
    command = f"--repository {tmp_path} --downloads /opt/weights"
    bundled = compile_(tmp_path, TARGET="g4", MODEL="demo")
    assert bundled.stdout.strip() == f"python -m yolov4 prepare demo --target g4 {command}"
    both = compile_(tmp_path, TARGET="cpu", MODEL="demo,yolov4").stdout.splitlines()
    assert [line.split()[4] for line in both] == ["demo", "yolov4"]
    default = compile_(tmp_path, TARGET="cpu")
    assert default.stdout.strip() == f"python -m yolov4 prepare yolov4-tiny --target cpu {command}"
    files = {"CFG": "a b.cfg", "WEIGHTS": "b.weights", "NAMES": "c.names"}
    own = compile_(tmp_path, TARGET="cpu", MODEL="voc", FORCE="1", **files)
    assert own.stdout.strip().endswith("--cfg a b.cfg --weights b.weights --names c.names --force")


def test_the_server_is_asked_for_the_state_and_not_for_an_answer(tmp_path: Path) -> None:
    """docker/tfserving/available.sh against a REST port that answers 200 in every state."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    asked: list[str] = []
    states = {"voc": "LOADING", "coco": "AVAILABLE"}

    class Rest(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.removeprefix("/v1/models/"))
            self.send_response(200)
            self.end_headers()
            answer = '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "%s"'
            self.wfile.write((answer % states[asked[-1]]).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Rest)
    Thread(target=server.serve_forever, daemon=True).start()
    text = (ROOT / "docker/tfserving/available.sh").read_text()
    script = tmp_path / "available.sh"
    script.write_text(text.replace("8501", str(server.server_port)))

    def available(models: str = "voc") -> bool:
        environment = {"PATH": os.defpath, "MODEL_NAME": models}
        done = subprocess.run(["bash", script], env=environment, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    try:
        assert not available()
        assert not available("coco,voc")
        states["voc"] = "AVAILABLE"
        assert available()
        assert available("coco,voc")
        assert asked == ["voc", "coco", "voc", "voc", "coco", "voc"]
    finally:
        server.shutdown()
        server.server_close()
    assert not available()


def test_the_server_has_a_grpc_thread_for_every_call_of_several_gateways(tmp_path: Path) -> None:
    """A call more than threads is refused, not queued; GetModelStatus takes one too."""
    from service.settings import Settings

    server = tmp_path / "tensorflow_model_server"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(0o755)
    run = subprocess.run(
        [ROOT / "docker" / "tfserving" / "serve.sh", "--grpc_channel_arguments=a=1"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_NAME": "m"},
        capture_output=True,
        text=True,
        check=True,
    )
    flags = dict(line.split("=", 1) for line in run.stdout.splitlines())
    in_flight = Settings.model_fields["max_in_flight"].default
    assert int(flags["--grpc_max_threads"]) >= 10 * (in_flight + 1) + 1
    assert flags["--grpc_channel_arguments"] == "a=1"


def test_several_models_get_a_configuration_in_the_servers_format(tmp_path: Path) -> None:
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from tensorflow_serving.config import model_server_config_pb2

    server = tmp_path / "tensorflow_model_server"
    server.write_text(
        '#!/bin/sh\nfor a; do case $a in *config_file=/*) cat "${a#*=}";; esac; done\n'
    )
    server.chmod(0o755)
    script = (ROOT / "docker" / "tfserving" / "serve.sh").read_text()
    run = subprocess.run(
        ["bash", "-c", script.replace("--monitoring_config_file=/etc", "--other=/etc")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_NAME": "coco,voc-2"},
        capture_output=True,
        text=True,
        check=True,
    )
    config = text_format.Parse(run.stdout, model_server_config_pb2.ModelServerConfig())
    models = [(m.name, m.base_path, m.model_platform) for m in config.model_config_list.config]
    assert models == [
        ("coco", "/models/coco", "tensorflow"),
        ("voc-2", "/models/voc-2", "tensorflow"),
    ]
