"""`python -m service.run`: both processes up and down together. Needs no model of any size."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.project import ROOT, free_port


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_no_model_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("--model", "voc", "--repository", str(tmp_path))
    assert done.returncode == 1
    assert "There is no model yet." in done.stderr
    assert "make model NAME=voc CFG=" in done.stderr
    (tmp_path / "coco" / "1").mkdir(parents=True)
    assert "There are: coco." in run("--model", "voc", "--repository", str(tmp_path)).stderr


def test_a_port_in_use_names_another(tmp_path: Path) -> None:
    (tmp_path / "voc" / "1").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--model", "voc", "--repository", str(tmp_path), "--port", str(port))
    assert done.returncode == 1
    assert f"make run PORT={port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


def test_port_0_is_none(tmp_path: Path) -> None:
    (tmp_path / "voc" / "1").mkdir(parents=True)
    done = run("--model", "voc", "--repository", str(tmp_path), "--port", "0")
    assert "Port 0 is none" in done.stderr


def processes_of_session(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children]


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_with_a_curl_line_and_down_without_a_process_left(
    ending: signal.Signals, small_repository: Path
) -> None:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "service.run", "--model", "small"),
            *("--repository", str(small_repository), "--port", str(port)),
        ],
        cwd=ROOT,
        env={**os.environ, "http_proxy": "http://127.0.0.1:9"},  # is not asked for this machine
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if "Ctrl-C" in line:
            break
    assert f"curl -F image=@picture.jpg http://localhost:{port}/detect" in lines
    ready = httpx.get(f"http://localhost:{port}/readyz", trust_env=False).json()
    assert ready["model"]["name"] == "small"
    children = processes_of_session(process.pid)
    assert len(children) == 2
    process.send_signal(ending)
    code = process.wait(30)
    assert code == (0 if ending != signal.SIGKILL else -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not all(gone(pid) for pid in children):
        assert time.monotonic() < deadline, [pid for pid in children if not gone(pid)]
        time.sleep(0.1)
    process.stdout.close()


def test_when_one_process_dies_the_other_is_ended_and_it_is_said(small_repository: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "service.run", "--model", "small"),
            *("--repository", str(small_repository), "--port", str(port)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    server, gateway = processes_of_session(process.pid)
    os.kill(server, signal.SIGKILL)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "service.model_server ended with exit code -9" in err
    assert gone(gateway)
