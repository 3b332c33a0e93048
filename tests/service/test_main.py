"""The gateway's process: what it loads, how it starts and stops."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service import __version__
from service.settings import Settings
from tests.support.callers.raw_http import (
    connect,
    exchange,
    get,
    much,
    one,
    post,
    push,
    to_the_end,
)
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT


def test_the_tensorflow_runtime_is_not_in_the_process_and_it_is_small() -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        for name in ("json", "image"):
            url = f"/detect?format={name}"
            assert gateway.http.post(url, files={"image": picture(640, 480)}).status_code == 200
        proc = Path(f"/proc/{gateway.process.pid}")
        maps = (proc / "maps").read_text()
        assert "/grpc/" in maps  # the look is at the right process
        assert "tensorflow/python" not in maps
        assert "libtensorflow" not in maps
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        peak_mb = int(status["VmHWM"].split()[0]) / 1024
        assert peak_mb < 120
        # Absolute, for once, and generous: the usual way of importing the messages takes 2 s more.
        assert gateway.up_after_s < 5


def test_no_module_of_the_runtime_is_imported() -> None:
    code = (
        "import sys, service.__main__\n"
        "print([n for n in sys.modules if n.startswith(('tensorflow.python', 'keras'))"
        " or n in ('tensorflow', 'numpy')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_it_starts_without_a_backend_and_says_so() -> None:
    with GatewayProcess(backend="127.0.0.1:1") as gateway:
        assert gateway.http.get("/livez").status_code == 200
        assert gateway.http.get("/readyz").status_code == 503
        response = gateway.http.post("/detect", files={"image": picture()})
        assert response.status_code == 503
        assert "cannot be reached" in response.json()["detail"]


def test_a_backend_that_starts_later_is_used_within_seconds() -> None:
    with FakeBackend() as first:
        port = first.port
    with GatewayProcess(backend=f"127.0.0.1:{port}") as gateway:
        assert gateway.http.get("/readyz").status_code == 503
        time.sleep(2)
        command = (
            "import sys, time, grpc; sys.path.insert(0, '.')\n"
            "from tests.support.fakes.fake_backend import FakeBackend\n"
            f"with FakeBackend(port={port}): time.sleep(60)"
        )
        backend = subprocess.Popen([sys.executable, "-c", command], cwd=ROOT)
        try:
            deadline = time.monotonic() + 10
            while gateway.http.get("/readyz").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            post = gateway.http.post("/detect", files={"image": picture()})
            assert post.status_code == 200
        finally:
            backend.kill()
            backend.wait()


def test_sigterm_says_not_ready_then_answers_what_is_under_way_then_exits_0() -> None:
    with (
        FakeBackend(delay_s=1.2) as slow,
        GatewayProcess(backend=slow.target, drain_s=0.8) as gateway,
    ):
        answers: list[int] = []
        caller = threading.Thread(
            target=lambda: answers.append(
                gateway.http.post("/detect", files={"image": picture()}).status_code
            )
        )
        caller.start()
        time.sleep(0.2)
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        readyz = gateway.http.get("/readyz")
        assert readyz.status_code == 503
        assert readyz.json()["type"] == "urn:problem:draining"
        assert readyz.headers["retry-after"] == "1"
        assert gateway.http.get("/livez").status_code == 200
        caller.join()
        assert answers == [200]
        assert gateway.process.wait(10) == 0
        assert gateway.log()[-1]["event"] == "stopped"


def test_while_draining_every_answer_says_that_it_is_the_last() -> None:
    with (
        FakeBackend(delay_s=0.5) as slow,
        GatewayProcess(backend=slow.target, drain_s=2) as gateway,
        connect(gateway) as idle,
        connect(gateway) as busy,
    ):
        idle.sendall(get("/livez"))
        assert "connection" not in one(idle).headers
        data = picture()
        busy.sendall(post(f"Content-Length: {len(data)}", body=data))
        wait_for(lambda: slow.pictures)
        gateway.process.send_signal(signal.SIGTERM)
        (under_way,) = to_the_end(busy)
        assert (under_way.status, under_way.headers["connection"]) == (200, "close")
        idle.sendall(get("/livez"))
        (asked_now,) = to_the_end(idle)
        assert (asked_now.status, asked_now.headers["connection"]) == (200, "close")
        (of_a_new_connection,) = exchange(gateway, get("/readyz"))
        assert of_a_new_connection.status == 503
        assert of_a_new_connection.headers["connection"] == "close"
        assert gateway.process.wait(20) == 0


@pytest.mark.parametrize(
    "client_does",
    [pytest.param("not read", marks=pytest.mark.slow), "not finish its upload", "not begin"],
)
def test_no_client_can_hold_up_the_end(client_does: str) -> None:
    """Its own time limits are far away; those of the end hold."""
    with (
        FakeBackend() as backend,
        GatewayProcess(
            backend=backend.target,
            drain_s=0.5,
            shutdown_timeout_s=2,
            upload_timeout_s=600,
            send_timeout_s=600,
            head_timeout_s=600,
        ) as gateway,
        connect(gateway) as client,
    ):
        if client_does == "not read":
            push(client, [much()])
            wait_for(lambda: gateway.log("request"), within_s=20)
        elif client_does == "not begin":
            client.sendall(b"POST /detect HTTP/1.1\r\n")
        else:
            client.sendall(post("Content-Length: 1000", body=b"some"))
        time.sleep(0.2)
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(30) == 0
        # Machines are slow, and still this is far from 600 seconds.
        assert time.monotonic() - begun < 2.5 + 5
        assert gateway.log()[-1]["event"] == "stopped"
        if client_does == "not finish its upload":
            (answer,) = to_the_end(client)
            assert "the body has not arrived" in answer.problem(503, "draining")
            assert gateway.log("Exception in ASGI application\n") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("between_s", [0.0, 0.7], ids=["while-draining", "while-shutting-down"])
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals, between_s: float) -> None:
    with (
        FakeBackend(delay_s=8) as slow,
        GatewayProcess(backend=slow.target, drain_s=0.3) as gateway,
        connect(gateway) as client,
    ):
        client.sendall(post(f"Content-Length: {len(picture())}", body=picture()))
        wait_for(lambda: slow.pictures)
        gateway.process.send_signal(number)
        wait_for(lambda: gateway.http.get("/readyz").json().get("type") == "urn:problem:draining")
        time.sleep(between_s)
        assert gateway.process.poll() is None
        gateway.process.send_signal(number)
        assert gateway.process.wait(2) == 128 + number
        assert gateway.log()[-1]["event"] == "stopped at once, on a second signal"


def test_help_lists_every_setting_and_starts_nothing() -> None:
    done = python_m_service("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name, field in Settings.model_fields.items():
        assert f"  DETECT_{name.upper()} (" in done.stdout
        words = str(field.description).replace("`", "").split()
        assert " ".join(words) in " ".join(done.stdout.split())


def test_version_is_that_of_the_package() -> None:
    done = python_m_service("--version")
    assert (done.returncode, done.stdout) == (0, f"yolov4-serving {__version__}\n")


def test_an_unknown_option_is_rejected() -> None:
    done = python_m_service("--port", "80")
    assert done.returncode == 2
    assert "unrecognized arguments: --port 80" in done.stderr


def python_m_service(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_too_few_descriptors_are_said() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = "too few descriptors for max_connections"
    for connections, lines in ((1, 0), (hard, 1)):
        with GatewayProcess(backend="127.0.0.1:1", max_connections=connections) as gateway:
            assert len(gateway.log(said)) == lines


def test_an_invalid_setting_is_one_line_and_exit_status_2() -> None:
    environment = {**os.environ, "DETECT_PORT": "http"}
    done = subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("DETECT_PORT='http': Input should be a valid integer")
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_line_and_not_exit_0() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {**os.environ, "DETECT_PORT": str(taken.getsockname()[1])}
        done = subprocess.run(
            [sys.executable, "-m", "service"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
    assert done.returncode != 0
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
