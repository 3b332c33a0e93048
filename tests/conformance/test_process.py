"""The server's process: gRPC threads, start-up, configuration that cannot be applied, stopping."""

import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
import tensorflow as tf

from tests.conformance.calls import Code, X, jpeg, refusal
from tests.conformance.case import EMBEDDED, case
from tests.support.callers.caller import Caller
from tests.support.inputs import tiny_models
from tests.support.inputs.pictures import picture
from tests.support.inputs.tiny_models import request
from tests.support.processes.gateway_process import wait_for
from tests.support.processes.model_server_process import (
    START_S,
    Server,
    command,
    eventually,
    running,
)
from tests.support.processes.whole_service import whole_service
from tests.support.project import ROOT, free_port

SLEEP_S = 1.5


@case(
    "threads.limit",
    "`--grpc_max_threads=4`, three calls running, then Predict and GetModelStatus; a caller leaves",
    'RESOURCE_EXHAUSTED "Server Threadpool Exhausted" at once, GetModelStatus too; an abandoned '
    "call holds its thread until its run ends",
)
def test_calls_beyond_the_threads_are_refused_and_status_counts(tmp_path: Path) -> None:
    base = tmp_path / "busy"
    base.mkdir()
    tiny_models.save(base, 1)
    flags = (f"--model_base_path={base}", "--model_name=busy", "--grpc_max_threads=4")
    exhausted = (Code.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
    with running(tmp_path, *flags) as server:
        asked = request("busy", "sleep", seconds=(3.0, tf.float64))
        calls = [server.prediction.Predict.future(asked, timeout=20) for _ in range(3)]
        eventually(lambda: refused(server) == exhausted)
        assert refusal(server.statuses, "busy") == exhausted
        calls[0].cancel()  # the caller has gone; its run and its thread have not
        assert refusal(server.predict, request("busy", x=X)) == exhausted
        assert [call.result().model_spec.version.value for call in calls[1:]] == [1, 1]
        eventually(lambda: refused(server) is None)
        assert server.states("busy") == {1: "AVAILABLE"}


def refused(server: Server) -> tuple[grpc.StatusCode, str] | None:
    try:
        server.predict(request("busy", x=X))
    except grpc.RpcError as error:
        return error.code(), error.details()
    return None


@case(
    "start.fails",
    "The first version cannot be loaded; an unknown flag",
    "exit code 255, “1 model(s) did not become available”; “unknown argument”, and it goes on",
)
def test_first_version_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    flags = (f"--model_base_path={tmp_path}", f"--port={free_port()}", "--no_such_flag=1")
    ended = subprocess.run(
        command(*flags, "--max_num_load_retries=0"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 255
    assert "Failed to start server. Error: " in said
    assert "1 model(s) did not become available" in said
    assert "unknown argument: --no_such_flag=1" in said
    assert "Traceback" not in said


@pytest.mark.slow
@case(
    "start.late",
    "The base path appears after the start; `--enable_serialization_as_tensor_content`",
    "the port is closed until the first version is loaded; outputs as `tensor_content`",
)
def test_does_not_listen_before_the_first_version_is_loaded(tmp_path: Path) -> None:
    base = tmp_path / "late"
    flags = (f"--model_base_path={base}", "--enable_serialization_as_tensor_content=true")
    with running(tmp_path, *flags, wait=False) as server:
        eventually(
            lambda: f"Could not find base path {base}" in server.log.read_text(), wait_s=START_S
        )
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()
        base.mkdir()
        tiny_models.save(base, 1)
        server.wait_until_listening()
        assert server.states("default") == {1: "AVAILABLE"}
        response = server.predict(request("default", x=X))
        assert tf.make_ndarray(response.outputs["y"]).tolist() == [2.0, 5.0]
        assert response.outputs["y"].tensor_content
        words = server.predict(request("default", "measure", image=([jpeg(2, 1)], tf.string)))
        assert words.outputs["words"].tensor_content == b"\x09landscape"


@pytest.mark.slow
@case(
    "start.port-in-use",
    "A second server on the same port",
    "starts silently and takes half of the calls (SO_REUSEPORT)",
    "exit code 255, “Cannot listen on …”",
)
def test_second_server_on_the_same_port(tmp_path: Path) -> None:
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_models.save(base, 1)
    with running(tmp_path, f"--model_base_path={base}") as server:
        flags = command(f"--port={server.port}", f"--model_base_path={base}")
        log = tmp_path / "second.log"
        with log.open("wb") as output:
            second = subprocess.Popen(flags, cwd=ROOT, stdout=output, stderr=output)
        try:
            if EMBEDDED:
                assert second.wait(START_S) == 255
                assert f"Cannot listen on 0.0.0.0:{server.port}" in log.read_text()
                assert "Traceback" not in log.read_text()
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    second.wait(10)
        finally:
            second.terminate()
            second.wait(20)


@pytest.mark.slow
@case(
    "configuration.missing-path",
    "The `base_path` of one model is missing; another model gets a new version",
    "not loaded until the path exists",
    "loaded: models do not wait for each other",
)
def test_missing_base_path_and_other_models(tmp_path: Path) -> None:
    good, missing = tmp_path / "good", tmp_path / "missing"
    for base in (good, missing):
        base.mkdir()
        tiny_models.save(base, 1)
    config = tmp_path / "models.config"
    models = "".join(
        f'config {{ name: "{base.name}" base_path: "{base}" model_platform: "tensorflow" }} '
        for base in (good, missing)
    )
    config.write_text(f"model_config_list {{ {models} }}")
    with running(tmp_path, f"--model_config_file={config}") as server:
        missing.rename(tmp_path / "away")
        time.sleep(2)  # until the directory has been polled
        tiny_models.save(good, 2)
        if not EMBEDDED:
            time.sleep(4)
            assert server.states("good") == {1: "AVAILABLE"}
            (tmp_path / "away").rename(missing)
        server.wait_for("good", {2: "AVAILABLE", 1: "END"})


@pytest.mark.slow
@case(
    "configuration.retry",
    "Version 3 fails to load and waits for its next attempt; versions 3 and 2 are deleted",
    "goes on serving version 2",
    "loads version 1: a version that waits holds nothing up",
)
def test_version_that_waits_for_its_next_attempt(tmp_path: Path) -> None:
    base = tmp_path / "tiny"
    base.mkdir()
    for version in (1, 2):
        tiny_models.save(base, version)
    with running(tmp_path, f"--model_base_path={base}") as server:  # a minute between attempts
        server.wait_for("default", {2: "AVAILABLE"})
        (base / "3").mkdir()
        eventually(lambda: server.states("default").get(3) == "LOADING")
        time.sleep(1)
        (base / "3").rmdir()
        (base / "2").rename(tmp_path / "2")
        if EMBEDDED:
            eventually(lambda: server.states("default").get(1) == "AVAILABLE")
        else:
            time.sleep(5)
        answering = server.predict(request("default", x=X)).model_spec.version.value
        assert answering == (1 if EMBEDDED else 2)


@case(
    "stop.sigterm",
    "SIGTERM while a call runs",
    "exit code 143 (the signal) after 0.06 s; the call fails with UNAVAILABLE",
)
def test_sigterm_ends_calls_at_once(tmp_path: Path) -> None:
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_models.save(base, 1)
    asked = request("default", "sleep", seconds=(SLEEP_S, tf.float64))
    with running(tmp_path, f"--model_base_path={base}") as server:
        call = server.prediction.Predict.future(asked, timeout=20)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=SLEEP_S / 2) == -signal.SIGTERM
        assert call.code() == Code.UNAVAILABLE


@pytest.mark.slow
@case(
    "stop.callers",
    "SIGTERM while the gateway's callers wait",
    "503 for the calls in progress",
)
def test_callers_of_the_gateway_get_503(small_repository: Path, tmp_path: Path) -> None:
    with whole_service(tmp_path, small_repository, "small") as (gateway, server):
        server.process.send_signal(signal.SIGSTOP)  # so that calls are in progress
        with ThreadPoolExecutor(4) as pool, closing(Caller(gateway.url)) as later:
            callers = [Caller(gateway.url) for _ in range(4)]
            answers = [pool.submit(caller.detect, picture()) for caller in callers]
            wait_for(lambda: gateway.metric("detect_in_flight") == 4)
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGCONT)
            assert [answer.result(20)[0] for answer in answers] == [503] * 4
            assert later.detect(picture())[0] == 503
            for caller in callers:
                caller.close()
