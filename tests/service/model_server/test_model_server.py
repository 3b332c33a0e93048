"""The embedded model server, as a process behind a socket."""

import io
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

from service.model_server.flags import Flags, first_config
from tests.support.inputs import tiny_models
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server, command, eventually, running
from tests.support.project import ROOT

Code = grpc.StatusCode
X = ([1.0, 2.5], tf.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only ask or add a model: `tiny`, versions 1 and 2."""
    base = tmp_path_factory.mktemp("tiny")
    for version in (1, 2):
        tiny_models.save(base, version)
    config = base / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "tiny" base_path: "{base}" '
        'model_platform: "tensorflow" model_version_policy { all {} } '
        'version_labels { key: "stable" value: 1 } } }'
    )
    flags = (
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=200000",
    )
    with running(base, *flags) as server:
        server.models["tiny"] = {
            "base_path": str(base),
            "model_version_policy": {"all": {}},
            "version_labels": {"stable": 1},
        }
        server.wait_for("tiny", {2: "AVAILABLE", 1: "AVAILABLE"})
        yield server


def refusal(call: Any, *args: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args)
    return caught.value.code(), caught.value.details()


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG")
    return file.getvalue()


# Predict


def test_predict_answers_typed_fields_and_says_what_answered(server: Server) -> None:
    response = server.predict(request("tiny", x=X))
    assert list(response.outputs["y"].float_val) == [2.0, 5.0]
    assert response.outputs["y"].dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in response.outputs["y"].tensor_shape.dim] == [2]
    assert response.outputs["y"].tensor_content == b""
    assert list(response.outputs["version"].int_val) == [2]
    assert response.outputs["version"].HasField("tensor_shape")
    assert response.model_spec.name == "tiny"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"


def test_predict_takes_typed_fields_as_well_as_content(server: Server) -> None:
    proto = tf.make_tensor_proto(*X)
    assert proto.tensor_content
    proto.ClearField("tensor_content")
    proto.float_val.extend([1.0, 2.5])
    assert list(server.predict(request("tiny", x=proto)).outputs["y"].float_val) == [2.0, 5.0]


def test_pictures_of_different_sizes_go_in_and_words_come_out(server: Server) -> None:
    pictures = [jpeg(30, 20), jpeg(8, 16)]
    response = server.predict(request("tiny", "measure", image=(pictures, tf.string)))
    assert list(response.outputs["sizes"].int_val) == [20, 30, 16, 8]
    assert [dim.size for dim in response.outputs["sizes"].tensor_shape.dim] == [2, 2]
    assert list(response.outputs["words"].string_val) == [b"landscape", b"portrait"]


def test_output_filter_leaves_only_what_was_asked_for(server: Server) -> None:
    asked = request("tiny", x=X)
    asked.output_filter.append("version")
    assert list(server.predict(asked).outputs) == ["version"]


@pytest.mark.parametrize(
    ("choice", "answering"),
    [({}, 2), ({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1)],
)
def test_version_choice(server: Server, choice: dict[str, Any], answering: int) -> None:
    response = server.predict(request("tiny", x=X, **choice))
    assert list(response.outputs["version"].int_val) == [answering]
    assert response.model_spec.version.value == answering


def with_filter(*aliases: str) -> Any:
    asked = request("tiny", x=X)
    asked.output_filter.extend(aliases)
    return asked


def without_spec() -> Any:
    asked = request("tiny", x=X)
    asked.ClearField("model_spec")
    return asked


def short_tensor() -> Any:
    proto = tf.make_tensor_proto(*X)
    proto.tensor_content = proto.tensor_content[:-1]
    return proto


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        (without_spec(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
        (request("", x=X), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (
            request("nobody", x=X),
            Code.NOT_FOUND,
            "Servable not found for request: Latest(nobody)",
        ),
        (
            request("tiny", x=X, version=7),
            Code.NOT_FOUND,
            "Servable not found for request: Specific(tiny, 7)",
        ),
        (
            request("tiny", x=X, label="canary"),
            Code.INVALID_ARGUMENT,
            "Unrecognized servable version label: canary",
        ),
        (
            request("tiny", "nothing", x=X),
            Code.FAILED_PRECONDITION,
            'Serving signature key "nothing" not found.',
        ),
        (
            request("tiny"),
            Code.INVALID_ARGUMENT,
            "input size does not match signature: 0!=1 len({}) != len({x}). "
            "Sent extra: {}. Missing but required: {x}.",
        ),
        (
            request("tiny", x=X, z=X),
            Code.INVALID_ARGUMENT,
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
            "Sent extra: {z}. Missing but required: {}.",
        ),
        (
            request("tiny", z=X),
            Code.INVALID_ARGUMENT,
            "Signature input alias: x(feed name: serving_default_x:0) not found in request "
            "and no default value provided. Inputs expected to be in the request {z}, "
            "or default input alias set: ",
        ),
        (
            request("tiny", x=short_tensor()),
            Code.INVALID_ARGUMENT,
            "tensor parsing error: x",
        ),
        (
            with_filter("z"),
            Code.INVALID_ARGUMENT,
            "output tensor alias not found in signature: z "
            "Outputs expected to be in the set {version,y}.",
        ),
        (
            with_filter("y", "y"),
            Code.INVALID_ARGUMENT,
            "duplicate output tensor alias: y",
        ),
    ],
)
def test_refusals(server: Server, asked: Any, code: grpc.StatusCode, text: str) -> None:
    assert refusal(server.predict, asked) == (code, text)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            request("tiny", x=([1.0], tf.float64)),
            "Expects arg[0] to be float but double is provided",
        ),
        (
            request("tiny", "measure", image=([b"no picture"], tf.string)),
            "Unknown image file format",
        ),
        (request("tiny", "measure", image=([jpeg(64, 64)[:300]], tf.string)), "jpeg"),
        (
            request("tiny", "measure", image=(jpeg(8, 8), tf.string)),
            # Two operations refuse a scalar; whichever runs first is heard.
            "slice index 0 of dimension 0|must be at least a vector",
        ),
    ],
)
def test_errors_of_the_graph_are_passed_on_verbatim(server: Server, asked: Any, text: str) -> None:
    code, details = refusal(server.predict, asked)
    assert code == Code.INVALID_ARGUMENT
    assert any(one.lower() in details.lower() for one in text.split("|"))
    assert "Graph execution error" not in details


def test_deadline_ends_the_run(server: Server) -> None:
    started = time.monotonic()
    code, _ = refusal(server.predict, request("tiny", "sleep", seconds=(60.0, tf.float64)), 0.3)
    assert code == Code.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 2
    eventually(lambda: cpu_ticks(server) < 10, lambda: "the run still uses the CPU", 5)


def cpu_ticks(server: Server) -> int:
    """Hundredths of a CPU second the server uses in 0.3 s."""

    def used() -> int:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(0.3)
    return used() - before


def test_big_messages_pass(server: Server) -> None:
    x = tf.make_tensor_proto([0.5] * 2_000_000, tf.float32)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        predict = type(server.prediction)(channel).Predict
        response = predict(request("tiny", x=x), timeout=20)
    assert response.outputs["y"].float_val[1_999_999] == 1.0


@pytest.mark.parametrize(
    ("kind", "method", "message"),
    [
        ("classification", "Classify", classification_pb2.ClassificationRequest),
        ("regression", "Regress", regression_pb2.RegressionRequest),
    ],
)
def test_examples_are_refused_as_the_wrong_kind_of_signature(
    server: Server, kind: str, method: str, message: Any
) -> None:
    call = getattr(server.prediction, method)
    asked = message()
    assert refusal(call, asked) == (Code.INVALID_ARGUMENT, "Missing ModelSpec")
    asked.model_spec.name = "tiny"
    assert refusal(call, asked) == (
        Code.INVALID_ARGUMENT,
        f"Expected {kind} signature method_name to be tensorflow/serving/{method.lower()}. "
        "Was: tensorflow/serving/predict",
    )
    asked.model_spec.signature_name = "other"
    text = "No signature was found with the name: other"
    assert refusal(call, asked) == (Code.INVALID_ARGUMENT, text)


def test_multi_inference_is_refused(server: Server) -> None:
    asked = inference_pb2.MultiInferenceRequest()
    assert refusal(server.prediction.MultiInference, asked)[0] == Code.INVALID_ARGUMENT


def shaped(sizes: list[int], values: list[float]) -> Any:
    proto = tf.make_tensor_proto(0.0, tf.float32)
    proto.Clear()
    proto.dtype = tf.float32.as_datatype_enum
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(values)
    return proto


@pytest.mark.parametrize(
    ("sizes", "values", "doubled"),
    [([1], [1.0, 2.5], [2.0]), ([3], [1.0, 2.5], [2.0, 5.0, 5.0]), ([2], [], [0.0, 0.0])],
)
def test_surplus_values_are_dropped_and_the_last_is_repeated(
    server: Server, sizes: list[int], values: list[float], doubled: list[float]
) -> None:
    response = server.predict(request("tiny", x=shaped(sizes, values)))
    assert list(response.outputs["y"].float_val) == doubled


def test_surplus_pictures_are_dropped(server: Server) -> None:
    proto = tf.make_tensor_proto([jpeg(30, 20)], tf.string)
    proto.string_val.append(b"no picture")
    response = server.predict(request("tiny", "measure", image=proto))
    assert list(response.outputs["sizes"].int_val) == [20, 30]


@pytest.mark.parametrize("sizes", [[-1], [-1, -1], [2, -1]])
def test_shape_that_is_not_fully_defined_is_refused(server: Server, sizes: list[int]) -> None:
    asked = request("tiny", x=shaped(sizes, [1.0, 2.5]))
    assert refusal(server.predict, asked) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")


# Metadata and status


def metadata_request(model: str, *fields: str) -> Any:
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    asked.model_spec.name = model
    return asked


def test_metadata_holds_the_signatures(server: Server) -> None:
    response = server.prediction.GetModelMetadata(metadata_request("tiny", "signature_def"))
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def["measure"].inputs
    assert inputs["image"].dtype == tf.string.as_datatype_enum
    assert [dim.size for dim in inputs["image"].tensor_shape.dim] == [-1]
    assert (response.model_spec.name, response.model_spec.version.value) == ("tiny", 2)


def test_metadata_refusals(server: Server) -> None:
    ask = server.prediction.GetModelMetadata
    assert refusal(ask, metadata_request("tiny")) == (
        Code.INVALID_ARGUMENT,
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    assert refusal(ask, metadata_request("tiny", "weights")) == (
        Code.INVALID_ARGUMENT,
        "Metadata field weights is not supported",
    )
    assert refusal(ask, metadata_request("nobody", "signature_def")) == (
        Code.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    )


def test_status_of_versions(server: Server) -> None:
    assert list(server.states("tiny").items()) == [(2, "AVAILABLE"), (1, "AVAILABLE")]
    assert list(server.statuses("tiny", 1)) == [1]
    assert refusal(server.statuses, "tiny", 7) == (
        Code.NOT_FOUND,
        "Could not find version 7 of model tiny",
    )
    assert refusal(server.statuses, "nobody") == (
        Code.NOT_FOUND,
        "Could not find any versions of model nobody",
    )


# The life of versions


def test_new_version_takes_over_without_a_failed_request(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1)
    server.add("swap", tmp_path)
    slow = [request("swap", "sleep", seconds=(0.5, tf.float64))]
    stop = threading.Event()
    seen: list[list[int]] = [[] for _ in range(4)]

    def load(versions: list[int]) -> None:
        while not stop.is_set():
            response = server.predict(request("swap", x=X))
            assert list(response.outputs["y"].float_val) == [2.0, 5.0]
            versions.append(response.model_spec.version.value)

    states = []
    with ThreadPoolExecutor(5) as pool:
        callers = [pool.submit(load, versions) for versions in seen]
        # Under way at version 1 while version 2 takes over.
        long_call = pool.submit(server.predict, request("swap", "sleep", seconds=(4.0, tf.float64)))
        try:
            (tmp_path / "notes").mkdir()
            tiny_models.save(tmp_path, 2, warmup=slow)
            while server.states("swap").get(1) != "END":
                states.append(server.states("swap"))
                time.sleep(0.02)
            assert long_call.result().model_spec.version.value == 1
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    assert {2: "LOADING", 1: "AVAILABLE"} in states
    assert {2: "AVAILABLE", 1: "UNLOADING"} in states
    assert server.states("swap") == {2: "AVAILABLE", 1: "END"}
    assert server.statuses("swap")[1].status.error_code == 0
    for versions in seen:
        assert set(versions) == {1, 2}
        assert versions == sorted(versions)
    assert refusal(server.predict, request("swap", x=X, version=1)) == (
        Code.NOT_FOUND,
        "Servable not found for request: Specific(swap, 1)",
    )


def test_version_that_cannot_be_loaded_leaves_the_old_one(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1)
    server.add("broken", tmp_path)
    (tmp_path / "2").mkdir()
    server.wait_for("broken", {2: "END", 1: "AVAILABLE"})
    status = server.statuses("broken")[2].status
    assert Code.NOT_FOUND.value[0] == status.error_code
    assert status.error_message.startswith(
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {tmp_path}/2."
    )
    loading = "{name: broken version: 2}: loading from"
    eventually(lambda: server.log.read_text().count(loading) == 2)
    assert server.predict(request("broken", x=X)).model_spec.version.value == 1

    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "saved_model.pb").write_bytes(b"half a file")
    server.wait_for("broken", {3: "END", 2: "END", 1: "AVAILABLE"})
    assert server.statuses("broken")[3].status.error_code == Code.OUT_OF_RANGE.value[0]
    assert server.statuses("broken")[3].status.error_message == "Read less bytes than requested"

    tiny_models.save(tmp_path, 4)
    server.wait_for("broken", {4: "AVAILABLE", 3: "END", 2: "END", 1: "END"})
    assert server.predict(request("broken", x=X)).model_spec.version.value == 4


def test_removed_version_gives_way_to_the_one_before(server: Server, tmp_path: Path) -> None:
    for version in (1, 2):
        tiny_models.save(tmp_path, version)
    server.add("back", tmp_path)
    assert server.states("back") == {2: "AVAILABLE"}
    (tmp_path / "2").rename(tmp_path / "withdrawn")
    server.wait_for("back", {2: "END", 1: "AVAILABLE"})
    (tmp_path / "withdrawn").rename(tmp_path / "2")
    server.wait_for("back", {2: "AVAILABLE", 1: "END"})


def test_warm_up_runs_before_the_version_is_available(server: Server, tmp_path: Path) -> None:
    three = request("warm", "count", by=(3, tf.int32))
    tiny_models.save(tmp_path, 1, warmup=[three, three])
    server.add("warm", tmp_path)
    response = server.predict(request("warm", "count", by=(1, tf.int32)))
    assert list(response.outputs["calls"].int_val) == [7]


def test_failing_warm_up_fails_the_load(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1, warmup=[request("cold", "nothing", x=X)])
    code, text = refusal(server.add, "cold", tmp_path)
    assert code == Code.UNKNOWN
    assert text == (
        "1 model(s) did not become available: {{{name: cold version: 1} due to error: "
        'FAILED_PRECONDITION: Serving signature key "nothing" not found.}, }'
    )
    assert server.states("cold") == {1: "END"}
    assert refusal(server.predict, request("cold", x=X)) == (
        Code.NOT_FOUND,
        "Servable not found for request: Latest(cold)",
    )


# Configuration


def test_reload_replaces_the_models(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1)
    server.add("guest", tmp_path)
    assert server.predict(request("guest", x=X)).model_spec.version.value == 1
    del server.models["guest"]
    server.reload()
    server.wait_for("guest", {1: "END"})
    assert refusal(server.predict, request("guest", x=X))[0] == Code.NOT_FOUND
    assert server.states("tiny") == {2: "AVAILABLE", 1: "AVAILABLE"}
    server.add("guest", tmp_path)
    assert server.states("guest") == {1: "AVAILABLE"}


def test_specific_versions_and_moved_labels(server: Server, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        tiny_models.save(tmp_path, version)
    only = {"model_version_policy": {"specific": {"versions": [1, 3]}}}
    server.add("labelled", tmp_path, **only, version_labels={"stable": 1})
    server.wait_for("labelled", {3: "AVAILABLE", 1: "AVAILABLE"})
    asked = request("labelled", x=X, label="stable")
    assert server.predict(asked).model_spec.version.value == 1
    server.add("labelled", tmp_path, **only, version_labels={"stable": 3})
    assert server.predict(asked).model_spec.version.value == 3
    assert refusal(
        lambda: server.add("labelled", tmp_path, **only, version_labels={"stable": 2})
    ) == (
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 2 of model labelled, "
        "which is not currently available for inference",
    )
    assert server.predict(asked).model_spec.version.value == 3
    del server.models["labelled"]


def test_reload_refusals(server: Server) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    assert refusal(server.model.HandleReloadConfigRequest, request) == (
        Code.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest."
        " Only ModelConfigList is currently supported",
    )
    request.config.model_config_list.config.add(
        name="m", base_path="here", model_platform="tensorflow"
    )
    assert refusal(server.model.HandleReloadConfigRequest, request) == (
        Code.INVALID_ARGUMENT,
        "Expected model m to have an absolute path or URI; got base_path()=here",
    )
    assert server.predict(tiny_models.request("tiny", x=X)).model_spec.version.value == 2


def test_platform_of_a_model_cannot_change(server: Server) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    base = server.models["tiny"]["base_path"]
    request.config.model_config_list.config.add(
        name="tiny", base_path=base, model_platform="pytorch"
    )
    assert refusal(server.model.HandleReloadConfigRequest, request) == (
        Code.INVALID_ARGUMENT,
        "Illegal to change a model's platform. For model tiny platform was tensorflow and "
        "new platform requested is pytorch",
    )


# The process


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


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--model_base_path=/m", "--port=x"], "invalid int value: 'x'"),
        (["--enable_model_warmup=maybe"], "'maybe' is neither true nor false"),
    ],
)
def test_flags_that_make_no_sense(
    flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        Flags().parse_args(flags)
    assert exit.value.code == 255
    assert text in capsys.readouterr().err


def test_unknown_flags_are_reported_and_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    flags = Flags().parse(["--rest_api_port=8501", "--port=1"])
    assert flags.port == 1
    assert capsys.readouterr().err == "unknown argument: --rest_api_port=8501 (ignored)\n"


def test_flags_take_both_forms() -> None:
    parse = Flags().parse_args
    assert parse(["--port=1"]) == parse(["--port", "1"])
    assert parse([]).enable_model_warmup is True
    assert parse(["--enable_model_warmup=false"]).enable_model_warmup is False
    assert parse([]).model_name == "default"
    assert parse([]).port == 8500


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
        (["--model_config_file=/no/such/file"], "/no/such/file; No such file or directory"),
    ],
)
def test_nothing_to_serve(flags: list[str], text: str) -> None:
    with pytest.raises(tf.errors.OpError) as caught:
        first_config(Flags().parse_args(flags))
    assert caught.value.message == text
