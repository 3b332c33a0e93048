"""Which kernels the model server runs: oneDNN's, and XLA's compiled before AVAILABLE."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server, running
from tests.support.project import ROOT

SIZES = (1, 2, 4, 8)
XLA = {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}


class Convolutions(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """Enough operations in a row for XLA to make a cluster of them."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = [tf.Variable(tf.fill([3, 3, 8, 8], 0.01)) for _ in range(8)]

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 8], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def apply(self, x: Any) -> dict[str, Any]:
        for kernel in self.kernels:
            x = tf.math.tanh(tf.nn.conv2d(x, kernel, 1, "SAME")) * 1.5
        return {"y": x}


def pictures(rows: int) -> Any:
    return request("conv", x=([[[[0.5] * 8] * 16] * 16] * rows, tf.float32))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`conv` with a warm-up request for each of SIZES."""
    base = tmp_path_factory.mktemp("conv")
    module = Convolutions()
    tf.saved_model.save(module, os.fspath(base / "1"), signatures=module.apply)
    extra = base / "1" / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(os.fspath(extra / "tf_serving_warmup_requests")) as records:
        for rows in SIZES:
            log = prediction_log_pb2.PredictLog(request=pictures(rows))
            records.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
    return base


def flags(model: Path, *others: str) -> tuple[str, ...]:
    return "--model_name=conv", f"--model_base_path={model}", *others


def test_convolutions_run_in_onednn_on_every_cpu(model: Path, tmp_path: Path) -> None:
    with running(tmp_path, *flags(model), variables={"ONEDNN_VERBOSE": "1"}) as server:
        server.predict(pictures(1))
        lines = server.log.read_text().splitlines()
    executed = [line for line in lines if line.startswith("onednn_verbose") and ",exec," in line]
    assert any(",convolution," in line for line in executed)


def test_onednn_is_on_where_tensorflow_leaves_it_off() -> None:
    """What is switched on explicitly does not depend on this machine's CPU."""
    code = "import os, service.model_server; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    unset = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    python = [sys.executable, "-c", code]
    assert subprocess.check_output(python, cwd=ROOT, env=unset, text=True) == "1\n"


def test_onednn_can_be_switched_off(model: Path, tmp_path: Path) -> None:
    variables = {"ONEDNN_VERBOSE": "1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    with running(tmp_path, *flags(model), variables=variables) as server:
        server.predict(pictures(1))
        assert ",convolution," not in server.log.read_text()


def passes(server: Server) -> list[list[float]]:
    """Six passes over SIZES: milliseconds of each request."""

    def milliseconds(rows: int) -> float:
        started = time.perf_counter()
        server.predict(pictures(rows), timeout=60)
        return 1000 * (time.perf_counter() - started)

    return [[milliseconds(rows) for rows in SIZES] for _ in range(6)]


@pytest.mark.slow
def test_two_warm_up_iterations_compile_every_batch_size(model: Path, tmp_path: Path) -> None:
    """`pytest -rP` prints the first three passes."""
    ratios = []
    for iterations in (1, 2):
        once = flags(model, f"--num_request_iterations_for_warmup={iterations}")
        with running(tmp_path, *once, variables=XLA) as server:
            durations = passes(server)
        for number, durations_of_pass in enumerate(durations[:3], 1):
            cells = ", ".join(f"{ms:.0f}" for ms in durations_of_pass)
            sys.stdout.write(f"{iterations} iterations, pass {number}, sizes {SIZES}: {cells} ms\n")
        repeats = map(statistics.median, zip(*durations[1:], strict=True))
        ratios.append([first / repeat for first, repeat in zip(durations[0], repeats, strict=True)])
    one, two = ratios
    assert max(one) > 5  # the sizes that callers would have waited for
    assert max(two) < max(one) / 3
    assert max(two) < 5
