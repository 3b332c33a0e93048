"""`python -m service.run`: both processes up and down together. Needs no model of any size."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.inputs.pictures import picture
from tests.support.project import ROOT, free_port


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.run", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_no_model_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("--model", "voc", "--repository", str(tmp_path))
    assert done.returncode == 1
    assert "There are no models yet." in done.stderr
    assert "make model NAME=voc CFG=" in done.stderr
    (tmp_path / "coco" / "1").mkdir(parents=True)
    assert "Models: coco." in run("--model", "voc", "--repository", str(tmp_path)).stderr


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


def test_an_unknown_thread_profile_is_rejected(small_repository: Path) -> None:
    arguments = ("--model", "small", "--repository", str(small_repository))
    done = run(*arguments, "--port", str(free_port()), DETECT_THREADS="fast")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("DETECT_THREADS='fast': ")
    assert "Traceback" not in done.stderr


def test_port_0_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "voc" / "1").mkdir(parents=True)
    done = run("--model", "voc", "--repository", str(tmp_path), "--port", "0")
    assert "Port 0 is out of range" in done.stderr


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


def test_several_models_and_the_first_is_the_default(
    small_repository: Path, tmp_path: Path
) -> None:
    for name in ("a", 'b"2'):
        (tmp_path / name).symlink_to(small_repository / "small")
    done = run("--model", 'a,b"2,c', "--repository", str(tmp_path))
    assert f"{tmp_path}/c contains no model version. Models: a, b" in done.stderr
    (tmp_path / 'b"2').rename(tmp_path / "b-2")
    port = free_port()
    with started(tmp_path, port, model="a,b-2", DETECT_THREADS="throughput") as process:
        until_ready(process)
        commands = [
            Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            for pid in processes_of_session(process.pid)
        ]
        assert sum("--tensorflow_intra_op_parallelism=1" in command for command in commands) == 1
        url = f"http://localhost:{port}"
        models = httpx.get(f"{url}/models", trust_env=False).json()["models"]
        assert [(model["name"], model["version"]) for model in models] == [("a", 1), ("b-2", 1)]
        for path, name in (("/detect", "a"), ("/models/b-2/detect", "b-2")):
            answer = httpx.post(url + path, files={"image": picture()}, trust_env=False, timeout=30)
            assert answer.json()["model"]["name"] == name


def test_a_second_signal_ends_everything_at_once(small_repository: Path) -> None:
    """A model server that is stopped cannot end by itself; the first signal would wait for it."""
    port = free_port()
    with started(small_repository, port) as process:
        until_ready(process)
        children = processes_of_session(process.pid)
        os.kill(children[0], signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(3) == 0
        assert all(gone(pid) for pid in children)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6_addresses_are_checked_and_in_brackets(small_repository: Path) -> None:
    port = free_port()
    with started(small_repository, port, DETECT_HOST="::") as process:
        lines = until_ready(process)
        assert f"curl -F image=@picture.jpg 'http://[::1]:{port}/detect'" in lines
        assert httpx.get(f"http://[::1]:{port}/readyz", trust_env=False).status_code == 200
        arguments = ("--model", "small", "--repository", str(small_repository))
        taken = run(*arguments, "--port", str(port), DETECT_HOST="::1")
        assert taken.returncode == 1
        assert f"Cannot listen on port {port} of ::1" in taken.stderr


def test_an_invalid_host_is_reported_in_one_line(small_repository: Path) -> None:
    arguments = ("--model", "small", "--repository", str(small_repository))
    done = run(*arguments, DETECT_HOST="no.such.host.invalid")
    assert done.returncode == 1
    assert "DETECT_HOST=no.such.host.invalid is no address of this machine" in done.stderr
    assert "Traceback" not in done.stderr


def test_both_processes_log_as_text_and_nothing_alarming(small_repository: Path) -> None:
    with started(small_repository, free_port(), stderr=subprocess.PIPE) as process:
        until_ready(process)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=40)
    lines = [line for line in log.splitlines() if re.match(r"\d{4}-\d\d-\d\dT\S+Z ", line)]
    assert {line.split()[1] for line in lines} == {"INFO"}
    assert any("Running gRPC ModelServer" in line for line in lines)
    assert any("listening host=127.0.0.1" in line for line in lines)
    assert "cannot be reached" not in log
    assert "{" not in "".join(line[0] for line in log.splitlines() if line)


@contextmanager
def started(
    repository: Path,
    port: int,
    stderr: int = subprocess.DEVNULL,
    model: str = "small",
    **environment: str,
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "service.run", "--model", model]
    command += ["--repository", str(repository), "--port", str(port)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    """Its standard output up to the line that says how to stop it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if "Ctrl-C" in line:
            return lines
    raise AssertionError(lines)


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
    assert "service.model_server exited with code -9" in err
    assert gone(gateway)
