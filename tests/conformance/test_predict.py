"""Predict: the detector's outputs, tensors in requests, deadlines, large messages."""

import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.conformance.calls import Code, X, jpeg, pictures, refusal, shape
from tests.conformance.case import NOT_SEEN, case
from tests.conformance.conftest import Served
from tests.support.inputs.pictures import picture
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server, eventually

OUTPUTS = {"boxes": tf.float32, "scores": tf.float32, "classes": tf.int32, "labels": tf.string}


@case(
    "predict.outputs",
    "Pictures of different sizes in; `boxes`, `scores`, `classes`, `labels` and `num_detections` "
    "out, as typed fields; `model_spec` names the version that answered",
    "typed fields, `tensor_content` empty; name, version, `serving_default`",
)
def test_outputs_of_the_detector(served: Served) -> None:
    asked = request(served.model, image=pictures(picture(64, 48), picture(30, 70, "PNG")))
    response = served.client.predict(asked)
    assert set(response.outputs) == {*OUTPUTS, "num_detections"}
    for name, dtype in OUTPUTS.items():
        assert response.outputs[name].dtype == dtype.as_datatype_enum
        assert shape(response.outputs[name]) == [2, 100, 4] if name == "boxes" else [2, 100]
        assert response.outputs[name].tensor_content == b""
    assert len(response.outputs["boxes"].float_val) == 800
    assert response.outputs["num_detections"].dtype == tf.int32.as_datatype_enum
    counts = response.outputs["num_detections"].int_val
    labels = response.outputs["labels"].string_val
    for row, count in enumerate(counts):
        assert all(labels[100 * row : 100 * row + count])
        assert not any(labels[100 * row + count : 100 * (row + 1)])
    spec = response.model_spec
    assert (spec.name, spec.signature_name) == (served.model, "serving_default")
    assert spec.version.value == served.version


@case(
    "predict.typed-fields",
    "A request with `float_val` in place of `tensor_content`",
    "answered alike",
)
def test_predict_takes_typed_fields_as_well_as_content(server: Server) -> None:
    proto = tf.make_tensor_proto(*X)
    assert proto.tensor_content
    proto.ClearField("tensor_content")
    proto.float_val.extend([1.0, 2.5])
    for x in (proto, X):
        assert list(server.predict(request("tiny", x=x)).outputs["y"].float_val) == [2.0, 5.0]


@case("predict.output-filter", "`output_filter` names one output", "that output alone")
def test_output_filter_leaves_only_what_was_asked_for(served: Served) -> None:
    asked = request(served.model, image=pictures(picture()))
    asked.output_filter.append("scores")
    assert list(served.client.predict(asked).outputs) == ["scores"]


@case(
    "predict.version-choice",
    "By default, by version number and by version label",
    "the newest; the one asked for; the one the label is assigned to",
)
@pytest.mark.parametrize(
    ("choice", "answering"),
    [({}, 2), ({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1)],
)
def test_version_choice(server: Server, choice: dict[str, Any], answering: int) -> None:
    response = server.predict(request("tiny", x=X, **choice))
    assert list(response.outputs["version"].int_val) == [answering]
    assert response.model_spec.version.value == answering


@case(
    "predict.deadline",
    "The caller's deadline passes while the model runs",
    "DEADLINE_EXCEEDED, and the run is cancelled",
)
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


@case("predict.large", "8 MB in and 8 MB out, more than gRPC's default limit", "answered")
def test_large_messages_pass(server: Server) -> None:
    x = tf.make_tensor_proto([0.5] * 2_000_000, tf.float32)
    assert server.predict(request("tiny", x=x)).outputs["y"].float_val[1_999_999] == 1.0


def shaped(sizes: list[int], values: list[float]) -> Any:
    proto = tf.make_tensor_proto(0.0, tf.float32)
    proto.Clear()
    proto.dtype = tf.float32.as_datatype_enum
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(values)
    return proto


SURPLUS = case("tensors.surplus", "Shape [1] with two values", "the first value is taken")
REPEATED = case(
    "tensors.too-few",
    "Shape [3] with two values, shape [2] without values",
    f"{NOT_SEEN}; by its source the last value, or zero, fills the rest",
)


@pytest.mark.parametrize(
    ("sizes", "values", "doubled"),
    [
        pytest.param([1], [1.0, 2.5], [2.0], marks=SURPLUS),
        pytest.param([3], [1.0, 2.5], [2.0, 5.0, 5.0], marks=REPEATED),
        pytest.param([2], [], [0.0, 0.0], marks=REPEATED),
    ],
)
def test_values_that_do_not_fill_their_shape(
    server: Server, sizes: list[int], values: list[float], doubled: list[float]
) -> None:
    response = server.predict(request("tiny", x=shaped(sizes, values)))
    assert list(response.outputs["y"].float_val) == doubled


@case("tensors.surplus-pictures", "Shape [1] with a picture and rubbish", "the picture is taken")
def test_surplus_pictures_are_dropped(server: Server) -> None:
    proto = tf.make_tensor_proto([jpeg(30, 20)], tf.string)
    proto.string_val.append(b"no picture")
    response = server.predict(request("tiny", "measure", image=proto))
    assert list(response.outputs["sizes"].int_val) == [20, 30]


@case(
    "tensors.undefined-shape",
    "A shape with a negative dimension",
    'INVALID_ARGUMENT "tensor parsing error: x"',
)
@pytest.mark.parametrize("sizes", [[-1], [-1, -1], [2, -1]])
def test_shape_that_is_not_fully_defined_is_refused(server: Server, sizes: list[int]) -> None:
    asked = request("tiny", x=shaped(sizes, [1.0, 2.5]))
    assert refusal(server.predict, asked) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")
