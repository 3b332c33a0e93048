"""GetModelMetadata, GetModelStatus, and the calls for examples."""

from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    regression_pb2,
)

from tests.service.model_server.calls import Code, refusal
from tests.support.processes.model_server_process import Server


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
