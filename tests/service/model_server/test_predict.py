"""Predict: outputs, errors with TensorFlow Serving's codes and messages, deadlines."""

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf

from tests.service.model_server.calls import Code, X, jpeg, refusal
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server, eventually


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


def test_pictures_of_different_sizes_in_and_strings_out(server: Server) -> None:
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
