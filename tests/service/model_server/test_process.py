"""The server's process: threads, startup, shutdown."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import grpc
import pytest
import tensorflow as tf

from tests.service.model_server.calls import Code, X, jpeg, refusal
from tests.support.inputs import tiny_models
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server, command, eventually, running
from tests.support.project import ROOT


def test_each_warm_up_request_runs_as_often_as_asked(tmp_path: Path) -> None:
    base = tmp_path / "counted"
    base.mkdir()
    three = request("counted", "count", by=(3, tf.int32))
    tiny_models.save(base, 1, warmup=[three, three])
    flags = (
        f"--model_base_path={base}",
        "--model_name=counted",
        "--num_request_iterations_for_warmup=2",
    )
    with running(tmp_path, *flags) as server:
        response = server.predict(request("counted", "count", by=(0, tf.int32)))
        assert list(response.outputs["calls"].int_val) == [12]


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


def test_first_version_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    flags = (f"--model_base_path={tmp_path}", "--port=0", f"--grpc_socket_path={tmp_path}/socket")
    ended = subprocess.run(
        command(*flags, "--max_num_load_retries=0", "--rest_api_port=8501"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 255
    assert "Failed to start server. Error: 1 model(s) did not become available" in ended.stderr
    assert "unknown argument: --rest_api_port=8501" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_base_path_may_come_later_and_sigterm_lets_calls_finish(tmp_path: Path) -> None:
    base = tmp_path / "late"
    flags = (f"--model_base_path={base}", "--enable_serialization_as_tensor_content=true")
    with running(tmp_path, *flags, wait=False) as server:
        eventually(lambda: f"Could not find base path {base}" in server.log.read_text(), wait_s=60)
        with pytest.raises(ConnectionRefusedError):  # not before the first model is loaded
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

        second = command(f"--port={server.port}", f"--model_base_path={base}")
        ended = subprocess.run(second, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 255
        assert f"Cannot listen on 0.0.0.0:{server.port}" in ended.stderr
        assert "Traceback" not in ended.stderr

        resident = Path(f"/proc/{server.process.pid}/status").read_text().split("VmRSS:")[1]
        assert int(resident.split()[0]) < 1_000_000  # kB

        asked = request("default", "sleep", seconds=(1.5, tf.float64))
        call = server.prediction.Predict.future(asked, timeout=20)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert list(call.result().outputs["version"].tensor_content) == [1, 0, 0, 0]
        assert server.process.wait(timeout=10) == 0
