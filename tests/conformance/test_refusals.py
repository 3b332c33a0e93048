"""Predict calls that are refused: codes and messages, which the gateway's own depend on."""

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tests.conformance.calls import Code, pictures, refusal
from tests.conformance.case import case
from tests.conformance.conftest import Served
from tests.support.inputs.pictures import picture
from tests.support.inputs.tiny_models import request

Build = Callable[[str], Any]  # name of the model -> request
GOOD = pictures(picture())


def refused(name: str, sentence: str, code: Code, text: str, build: Build) -> Any:
    """A case; MODEL in `text` is the model's name."""
    mark = case(f"refusals.{name}", sentence, f'{code.name} "{text}"')
    return pytest.param(build, code, text, marks=mark, id=name)


def edited(change: Callable[[Any], object]) -> Build:
    def build(model: str) -> Any:
        asked = request(model, image=GOOD)
        change(asked)
        return asked

    return build


def short_tensor(model: str) -> Any:
    proto = tf.make_tensor_proto([1.0, 2.5], tf.float32)
    proto.tensor_content = proto.tensor_content[:-1]
    return request(model, image=proto)


@pytest.mark.parametrize(
    ("build", "code", "text"),
    [
        refused(
            "no-model-spec",
            "No `model_spec`",
            Code.INVALID_ARGUMENT,
            "Missing ModelSpec",
            edited(lambda asked: asked.ClearField("model_spec")),
        ),
        refused(
            "no-name",
            "A `model_spec` without a name",
            Code.INVALID_ARGUMENT,
            "ModelSpec has no name specified.",
            lambda _: request("", image=GOOD),
        ),
        refused(
            "unknown-model",
            "An unknown model",
            Code.NOT_FOUND,
            "Servable not found for request: Latest(nobody)",
            lambda _: request("nobody", image=GOOD),
        ),
        refused(
            "unknown-version",
            "An unknown version",
            Code.NOT_FOUND,
            "Servable not found for request: Specific(MODEL, 987654)",
            lambda model: request(model, image=GOOD, version=987654),
        ),
        refused(
            "unknown-label",
            "An unknown version label",
            Code.INVALID_ARGUMENT,
            "Unrecognized servable version label: canary",
            lambda model: request(model, image=GOOD, label="canary"),
        ),
        refused(
            "unknown-signature",
            "An unknown signature",
            Code.FAILED_PRECONDITION,
            'Serving signature key "nothing" not found.',
            lambda model: request(model, "nothing", image=GOOD),
        ),
        refused(
            "no-input",
            "No input",
            Code.INVALID_ARGUMENT,
            "input size does not match signature: 0!=1 len({}) != len({image}). "
            "Sent extra: {}. Missing but required: {image}.",
            request,
        ),
        refused(
            "extra-input",
            "An input too many",
            Code.INVALID_ARGUMENT,
            "input size does not match signature: 2!=1 len({image,z}) != len({image}). "
            "Sent extra: {z}. Missing but required: {}.",
            lambda model: request(model, image=GOOD, z=GOOD),
        ),
        refused(
            "other-input",
            "An input of another name",
            Code.INVALID_ARGUMENT,
            "Signature input alias: image(feed name: image:0) not found in request "
            "and no default value provided. Inputs expected to be in the request {z}, "
            "or default input alias set: ",
            lambda model: request(model, z=GOOD),
        ),
        refused(
            "short-tensor",
            "Fewer bytes of `tensor_content` than the shape needs",
            Code.INVALID_ARGUMENT,
            "tensor parsing error: image",
            short_tensor,
        ),
        refused(
            "unknown-output",
            "`output_filter` with an unknown name",
            Code.INVALID_ARGUMENT,
            "output tensor alias not found in signature: z Outputs expected to be in the set "
            "{boxes,classes,labels,num_detections,scores}.",
            edited(lambda asked: asked.output_filter.append("z")),
        ),
        refused(
            "output-twice",
            "`output_filter` with a name twice",
            Code.INVALID_ARGUMENT,
            "duplicate output tensor alias: boxes",
            edited(lambda asked: asked.output_filter.extend(["boxes", "boxes"])),
        ),
    ],
)
def test_codes_and_messages(served: Served, build: Build, code: Code, text: str) -> None:
    expected = text.replace("MODEL", served.model)
    assert refusal(served.client.predict, build(served.model)) == (code, expected)


def fails(name: str, sentence: str, text: str, *image: Any) -> Any:
    """A case: the graph's operation fails with INVALID_ARGUMENT and a message with `text`."""
    mark = case(f"refusals.{name}", sentence, f'INVALID_ARGUMENT, with "{text}"')
    return pytest.param(image, text, marks=mark, id=name)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        fails(
            "dtype",
            "A float where the signature has a string",
            "Expects arg[0] to be string but float is provided",
            [1.0],
            tf.float32,
        ),
        fails("no-picture", "Bytes that are no picture", "Unknown image file format", [b"x" * 99]),
        fails("truncated", "A truncated JPEG", "jpeg", [picture(640, 480)[:700]]),
    ],
)
def test_messages_of_the_graph_are_passed_on(served: Served, image: Any, text: str) -> None:
    value, dtype = image if len(image) == 2 else (*image, tf.string)
    code, details = refusal(served.client.predict, request(served.model, image=(value, dtype)))
    assert code == Code.INVALID_ARGUMENT
    assert text.lower() in details.lower()
    assert "Graph execution error" not in details
