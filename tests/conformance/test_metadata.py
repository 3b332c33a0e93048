"""GetModelMetadata, GetModelStatus, the calls for examples, and the REST port's pages."""

import json
from typing import Any

import httpx
import pytest
import tensorflow as tf
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    regression_pb2,
)

from tests.conformance.calls import Code, pictures, refusal, shape
from tests.conformance.case import case
from tests.conformance.conftest import Served
from tests.support.inputs.pictures import picture
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server


@case(
    "examples.wrong-signature",
    "Classify and Regress: no `model_spec`, a detector, an unknown signature",
    'INVALID_ARGUMENT "Missing ModelSpec", "Expected … signature method_name to be …", '
    '"No signature was found with the name: other"',
)
@pytest.mark.parametrize(
    ("kind", "method", "message"),
    [
        ("classification", "Classify", classification_pb2.ClassificationRequest),
        ("regression", "Regress", regression_pb2.RegressionRequest),
    ],
)
def test_examples_are_refused_as_the_wrong_kind_of_signature(
    served: Served, kind: str, method: str, message: Any
) -> None:
    call = getattr(served.client.prediction, method)
    asked = message()
    assert refusal(call, asked) == (Code.INVALID_ARGUMENT, "Missing ModelSpec")
    asked.model_spec.name = served.model
    assert refusal(call, asked) == (
        Code.INVALID_ARGUMENT,
        f"Expected {kind} signature method_name to be tensorflow/serving/{method.lower()}. "
        "Was: tensorflow/serving/predict",
    )
    asked.model_spec.signature_name = "other"
    text = "No signature was found with the name: other"
    assert refusal(call, asked) == (Code.INVALID_ARGUMENT, text)


@case("examples.multi-inference", "MultiInference", "INVALID_ARGUMENT")
def test_multi_inference_is_refused(served: Served) -> None:
    asked = inference_pb2.MultiInferenceRequest()
    assert refusal(served.client.prediction.MultiInference, asked)[0] == Code.INVALID_ARGUMENT


def refused(name: str, sentence: str, fields: list[str], code: Code, text: str) -> Any:
    mark = case(f"metadata.{name}", sentence, f'{code.name} "{text}"')
    return pytest.param(name, fields, code, text, marks=mark, id=name)


def metadata_request(model: str, *fields: str) -> Any:
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    asked.model_spec.name = model
    return asked


@case(
    "metadata.signatures",
    "GetModelMetadata with the field `signature_def`",
    "the signatures, and the version in `model_spec`",
)
def test_metadata_holds_the_signatures(served: Served) -> None:
    response = served.client.prediction.GetModelMetadata(
        metadata_request(served.model, "signature_def")
    )
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert signature.inputs["image"].dtype == tf.string.as_datatype_enum
    assert shape(signature.inputs["image"]) == [-1]
    spec = response.model_spec
    assert (spec.name, spec.version.value) == (served.model, served.version)


@pytest.mark.parametrize(
    ("name", "fields", "code", "text"),
    [
        refused(
            "no-field",
            "No `metadata_field`",
            [],
            Code.INVALID_ARGUMENT,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        refused(
            "unknown-field",
            "An unknown `metadata_field`",
            ["weights"],
            Code.INVALID_ARGUMENT,
            "Metadata field weights is not supported",
        ),
        refused(
            "unknown-model",
            "Metadata of an unknown model",
            ["signature_def"],
            Code.NOT_FOUND,
            "Servable not found for request: Latest(nobody)",
        ),
    ],
)
def test_metadata_refusals(
    served: Served, name: str, fields: list[str], code: Code, text: str
) -> None:
    model = "nobody" if name == "unknown-model" else served.model
    ask = served.client.prediction.GetModelMetadata
    assert refusal(ask, metadata_request(model, *fields)) == (code, text)


@case(
    "status.versions",
    "GetModelStatus with and without a version",
    "all versions, the newest first, each with its state; the one version",
)
def test_status_of_versions(server: Server) -> None:
    assert list(server.states("tiny").items()) == [(2, "AVAILABLE"), (1, "AVAILABLE")]
    assert list(server.statuses("tiny", 1)) == [1]


@case(
    "status.unknown",
    "GetModelStatus of an unknown version and an unknown model",
    'NOT_FOUND "Could not find version 987654 of model …", "Could not find any versions of '
    'model …"',
)
def test_status_of_unknown_versions(served: Served) -> None:
    assert refusal(served.client.statuses, served.model, 987654) == (
        Code.NOT_FOUND,
        f"Could not find version 987654 of model {served.model}",
    )
    assert refusal(served.client.statuses, "nobody") == (
        Code.NOT_FOUND,
        "Could not find any versions of model nobody",
    )


def rest(served: Served, path: str) -> str:
    if served.rest is None:
        pytest.skip("no REST port: the embedded server has none, TF_SERVING_TARGET names none")
    response = httpx.get(served.rest + path)
    assert response.status_code == 200
    return response.text


@case(
    "monitoring.status",
    "`GET /v1/models/<model>` on the REST port, which docker/tfserving/available.sh reads",
    "JSON with the version and its state AVAILABLE",
    "no REST port",
)
def test_rest_status(served: Served) -> None:
    versions = json.loads(rest(served, f"/v1/models/{served.model}"))["model_version_status"]
    assert (str(served.version), "AVAILABLE") in {(v["version"], v["state"]) for v in versions}


@case(
    "monitoring.metrics",
    "`GET /monitoring/prometheus/metrics` with docker/tfserving/monitoring.txt",
    "text that Prometheus parses, with the metrics of the dashboard",
    "no REST port",
)
def test_metrics_parse(served: Served) -> None:
    served.client.predict(request(served.model, image=pictures(picture())))
    text = rest(served, "/monitoring/prometheus/metrics")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert ":tensorflow:serving:request" in {name.removesuffix("_count") for name in names}
