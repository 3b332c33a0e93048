"""A model server in a process of its own, and a client for it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import tensorflow  # noqa: F401 - tensorflow_serving cannot be the first to import it
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.support.project import ROOT, free_port

START_S = 180
State = get_model_status_pb2.ModelVersionStatus.State


class Client:
    """The calls to a model server at `target`, wherever it runs."""

    def __init__(self, target: str) -> None:
        self.target = target
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(target, options)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, request: Any, timeout: float = 20) -> Any:
        return self.prediction.Predict(request, timeout=timeout)

    def statuses(self, model: str, version: int | None = None) -> dict[int, Any]:
        """Version -> its ModelVersionStatus, in the server's order."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        response = self.model.GetModelStatus(request, timeout=5)
        return {status.version: status for status in response.model_version_status}

    def states(self, model: str) -> dict[int, str]:
        """Version -> name of its state; empty if the server does not know the model."""
        try:
            statuses = self.statuses(model)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return {}
        return {version: State.Name(status.state) for version, status in statuses.items()}

    def wait_for(self, model: str, states: dict[int, str]) -> None:
        eventually(lambda: self.states(model) == states, lambda: str(self.states(model)))


class Server(Client):
    """`models` holds what `reload` asks for; a test adds its own model to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        super().__init__(f"127.0.0.1:{port}")
        self.process = process
        self.port = port
        self.log = log
        self.models: dict[str, dict[str, Any]] = {}

    def wait_until_listening(self) -> None:
        ready = grpc.channel_ready_future(self.channel)
        end = time.monotonic() + START_S
        while True:
            try:
                return ready.result(timeout=1)  # type: ignore[no-any-return]
            except grpc.FutureTimeoutError:
                ended = self.process.poll() is not None
                assert not ended and time.monotonic() < end, self.log.read_text()  # noqa: PT018

    def reload(self) -> None:
        request = model_management_pb2.ReloadConfigRequest()
        for name, settings in self.models.items():
            request.config.model_config_list.config.add(
                name=name, model_platform="tensorflow", **settings
            )
        response = self.model.HandleReloadConfigRequest(request, timeout=20)
        assert response.status.error_code == 0

    def add(self, name: str, base: Path, **settings: Any) -> None:
        self.models[name] = {"base_path": os.fspath(base), **settings}
        self.reload()


def eventually(true: Callable[[], bool], what: Callable[[], str] = str, wait_s: float = 20) -> None:
    end = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < end, f"still not after {wait_s} s: {what()}"
        time.sleep(0.02)


def command(*flags: str) -> list[str]:
    """The embedded server, or the program that TF_MODEL_SERVER names."""
    program = os.environ.get("TF_MODEL_SERVER")
    return [program, *flags] if program else [sys.executable, "-m", "service.model_server", *flags]


@contextlib.contextmanager
def running(
    tmp_path: Path, *flags: str, wait: bool = True, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server, listening if `wait`; its log is in `log`. It is ended with SIGTERM if need be.
    `variables` are added to its environment."""
    port = free_port()
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(f"--port={port}", *flags),
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            stdout=output,
            stderr=output,
        )
    server = Server(process, port, log)
    try:
        if wait:
            server.wait_until_listening()
        yield server
    finally:
        server.channel.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
