"""Log lines: format, level, fields, and a gateway whose standard error does not take them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest

from service.backend import messages as m
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import wait_for
from tests.support.project import ROOT, free_port


def run(code: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`code` in a process of its own, because the log is the process's."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import logging\nfrom service.core import logs\n{code}",
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_json() -> None:
    done = run("logs.event('listening', host='::', port=8000, model=None)")
    line = json.loads(done.stderr)
    assert list(line) == ["time", "level", "event", "host", "port", "model"]
    assert (line["level"], line["event"], line["port"]) == ("info", "listening", 8000)
    assert abs(time.time() - datetime.fromisoformat(line["time"]).timestamp()) < 60


def test_text() -> None:
    done = run(
        "logs.configure('info', 'text')\n"
        "logs.event('request', logging.WARNING, path='/a b', error='say \"no\"', n=1, none=None)"
    )
    moment, rest = done.stderr.split(" ", 1)
    assert moment.endswith("Z")
    assert rest == 'WARNING request path="/a b" error="say \\"no\\"" n=1\n'


def test_text_never_forges_a_line() -> None:
    done = run(
        "logs.configure('info', 'text')\n"
        "logs.event('a\\nb', path='/x\\n2026 ERROR fake')\n"
        "logging.getLogger('x').error('first\\nsecond %s', '\\r\\nthird')"
    )
    first, *others = done.stderr.splitlines()
    assert first.endswith("INFO    a")
    starts = [line[:4] for line in others]
    assert starts == ["    ", _year(), "    ", "    "] or starts == ["    ", _year(), *["    "] * 3]


@pytest.mark.parametrize("format", ["json", "text"])
def test_callers_text_controls_no_terminal_and_ends_no_line(format: str) -> None:
    hostile = "\\u2028{} \\x85 \\x9b31m \\x1b[2J \\u202egnp"
    done = run(
        f"logs.configure('info', {format!r})\n"
        f"logs.event('request', path='{hostile}', key='Zoë')\n"
        "try:\n"
        f"    raise ValueError('{hostile}')\n"
        "except ValueError:\n"
        f"    logging.exception('{hostile}')"
    )
    assert all(line.isprintable() for line in done.stderr.split("\n"))
    lines = done.stderr.splitlines()
    if format == "json":
        path = json.loads(lines[0])["path"]
        assert path == "\u2028{} \x85 \x9b31m \x1b[2J \u202egnp"
        assert json.loads(lines[1])["event"] == path
    else:
        assert r'path="\u2028{} \x85 \x9b31m' in lines[0]
        assert "key=Zoë" in lines[0]
        assert r"ValueError: \u2028{} \x85 \x9b31m \x1b[2J \u202egnp" in lines[-1]


def _year() -> str:
    return time.strftime("%Y", time.gmtime())


@pytest.mark.parametrize("format", ["json", "text"])
def test_what_cannot_be_encoded_is_escaped(format: str) -> None:
    done = run(
        f"logs.configure('info', {format!r})\n"
        "logs.event('keys', file='/a\\udc80', data=b'\\xff', number=float('nan'), thing=object())\n"
        "logging.error('%d', 'no number')"
    )
    first, second = done.stderr.splitlines()
    assert "\\udc80" in first
    assert "object object at" in first
    assert "%d" in second


def test_level() -> None:
    done = run(
        "logs.configure('warning')\n"
        "logs.event('debugging', logging.DEBUG)\n"
        "logs.event('information')\n"
        "logs.event('warned', logging.WARNING)\n"
        "logging.getLogger('library').info('library information')\n"
        "logging.getLogger('library').error('library error')\n"
        "logging.getLogger('uvicorn.error').warning('uvicorn warning')\n"
        "import warnings; warnings.warn('deprecated')\n"
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    events = [line["event"].splitlines()[0].rpartition(": ")[2] for line in lines]
    assert events == ["warned", "library error", "uvicorn warning", "deprecated"]


def test_invalid_log_levels_and_formats() -> None:
    for variable, value in (("DETECT_LOG_LEVEL", "loud"), ("DETECT_LOG_FORMAT", "xml")):
        done = subprocess.run(
            [sys.executable, "-m", "service"],
            cwd=ROOT,
            env={**os.environ, variable: value},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"{variable}={value!r}: Input should be ")


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


# --- standard error that does not take the lines --------------------------------------------------


@contextmanager
def gateway(stderr: int | None, **settings: object) -> Iterator[tuple[Any, httpx.Client]]:
    """The process and a client. `stderr` None: closed."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DETECT_")}
    environment |= {f"DETECT_{k.upper()}": str(v) for k, v in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=environment | {"DETECT_PORT": str(port)},
        stderr=stderr,
        preexec_fn=(lambda: os.close(2)) if stderr is None else None,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            wait_for(lambda: answers(http), within_s=20)
            yield process, http
    finally:
        process.kill()
        process.wait()


def metric(http: httpx.Client, name: str) -> float:
    for line in http.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.rpartition(" ")[2])
    return float("nan")  # not exported yet, and equal to nothing


def ends(process: Any) -> None:
    """SIGTERM ends it, and in the time that requests may take: there are none."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_stalled_reader_of_the_log_stalls_nothing_else() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with FakeBackend() as backend, gateway(writer, backend=backend.target) as (process, http):
        os.close(writer)
        image = picture()
        assert {http.post("/detect", files={"image": image}).status_code for _ in range(100)} == {
            200
        }
        assert {http.get(f"/missing/{number}").status_code for number in range(400)} == {404}
        ends(process)
    os.close(reader)


@pytest.mark.parametrize("broken", ["full", "closed", "reader gone"])
def test_log_lines_that_cannot_be_written_are_counted_and_the_service_continues(
    broken: str,
) -> None:
    stderr: int | None = None
    if broken == "full":
        stderr = os.open("/dev/full", os.O_WRONLY)
    elif broken == "reader gone":
        reader, stderr = os.pipe()
        os.close(reader)
    with (
        FakeBackend() as backend,
        gateway(stderr, backend=backend.target, ready_interval_s=0.1) as (process, http),
    ):
        ready = 'detect_backend_ready{model="yolov4",track="stable"}'
        wait_for(lambda: metric(http, ready) == 1)
        for _ in range(20):
            response = http.post("/detect", files={"image": picture()})
            assert response.status_code == 200
            assert len(response.json()["detections"]) == 2  # no log line reached the connection
        backend.state = m.ModelVersionStatus.UNLOADING  # logged by the health checks
        wait_for(lambda: metric(http, ready) == 0)
        backend.state = m.ModelVersionStatus.AVAILABLE
        wait_for(lambda: metric(http, ready) == 1)
        wait_for(lambda: metric(http, "detect_log_dropped_total") >= 22)
        ends(process)
    if stderr is not None:
        os.close(stderr)
