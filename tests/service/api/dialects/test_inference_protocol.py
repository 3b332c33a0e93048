"""The Open Inference Protocol with Triton's binary extension, byte by byte."""

import base64
import json
import struct
from typing import Any

import httpx
import pytest

from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

B64 = base64.b64encode(picture()).decode()
INFER = "/v2/models/yolov4/infer"
HEADER = "Inference-Header-Content-Length"


def binary(picture: bytes, size: int | None = None, **tensor: Any) -> tuple[bytes, dict[str, str]]:
    """A request as tritonclient 2.73 sends it."""
    element = struct.pack("<I", len(picture)) + picture
    told = {"binary_data_size": len(element) if size is None else size}
    tensors = [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": told, **tensor}]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    return head + element, {HEADER: str(len(head))}


def as_json(**more: Any) -> dict[str, Any]:
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [B64]}
    return {"inputs": [tensor | more.pop("tensor", {})], **more}


def outputs(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    assert int(response.headers["content-length"]) == len(response.content)
    return {o["name"]: (o["datatype"], o["shape"], o["data"]) for o in response.json()["outputs"]}


EXPECTED = {
    "boxes": ("FP32", [2, 4], [10.25, 20.5, 60.0, 48.0, 0.0, 3.0, 64.0, 40.0]),
    "scores": ("FP32", [2], [0.75, 0.5]),
    "class_ids": ("INT64", [2], [16, 3]),
    "labels": ("BYTES", [2], ["dog", "motorbike"]),
}


def test_every_way_to_send_a_picture(http: httpx.Client) -> None:
    body, headers = binary(picture())
    assert outputs(http.post(INFER, content=body, headers=headers)) == EXPECTED
    assert outputs(http.post(INFER, content=picture(), headers={HEADER: "0"})) == EXPECTED
    assert outputs(http.post(INFER, json=as_json())) == EXPECTED
    versioned = "/v2/models/yolov4/versions/3/infer"
    assert outputs(http.post(versioned, json=as_json())) == EXPECTED


def test_id_outputs_and_parameters(http: httpx.Client) -> None:
    parameters = {"score_threshold": 0.1, "max_detections": 3}
    names = [{"name": "labels", "parameters": {"binary_data": True}}, {"name": "scores"}]
    response = http.post(INFER, json=as_json(id="42", outputs=names, parameters=parameters))
    content = response.json()
    assert (content["id"], content["model_name"], content["model_version"]) == ("42", "yolov4", "3")
    assert list(outputs(response)) == ["labels", "scores"]
    assert content["outputs"][0]["data"] == ["dog", "motorbike", "mouse"]


def test_nothing_found(http: httpx.Client) -> None:
    response = http.post(INFER, json=as_json(parameters={"score_threshold": 1}))
    assert outputs(response)["boxes"] == ("FP32", [0, 4], [])


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (as_json(tensor={"shape": [2]}), 400, "shape [1]"),
        (as_json(tensor={"datatype": "FP32"}), 400, "datatype 'BYTES'"),
        (as_json(tensor={"name": "input_1"}), 400, "name 'image'"),
        (as_json(tensor={"data": ["*"]}), 400, "not base64"),
        (as_json(tensor={"data": [B64, B64]}), 400, "a list of one picture"),
        (as_json(outputs=[{"name": "masks"}]), 422, "There is no output 'masks'"),
        (as_json(outputs=["boxes"]), 400, "a list of objects"),
        (as_json(parameters={"score_threshold": 2}), 422, "from 0 to 1"),
        ({"inputs": []}, 400, "a list of one tensor"),
        ({}, 400, "a list of one tensor"),
    ],
)
def test_errors(http: httpx.Client, content: Any, status: int, sentence: str) -> None:
    response = http.post(INFER, json=content)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert sentence in response.json()["error"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda body, headers: (body[:-1], headers), "bytes follow the JSON"),
        (lambda body, headers: (body, {HEADER: "x"}), "must be the length of the JSON"),
        (lambda body, headers: (body, {HEADER: "-1"}), "must be the length of the JSON"),
        (lambda body, headers: (body, {HEADER: "99999999"}), "must be the length of the JSON"),
        (lambda body, headers: (body, {HEADER: "10"}), "not JSON"),
        (lambda body, headers: binary(picture(), size=3), "binary_data_size is 3"),
        (lambda body, headers: binary(picture(), parameters=[1]), "must be an object"),
    ],
)
def test_broken_binary_requests(http: httpx.Client, change: Any, sentence: str) -> None:
    body, headers = change(*binary(picture()))
    response = http.post(INFER, content=body, headers=headers)
    assert response.status_code == 400
    assert sentence in response.json()["error"]


def test_a_wrong_length(http: httpx.Client) -> None:
    body, headers = binary(picture())
    at = int(headers[HEADER])
    response = http.post(INFER, content=body[:at] + b"\0\0\0\0" + body[at + 4 :], headers=headers)
    assert response.status_code == 400
    assert "little endian" in response.json()["error"]


def test_metadata(http: httpx.Client) -> None:
    content = http.get("/v2/models/yolov4").json()
    assert (content["name"], content["versions"]) == ("yolov4", ["3"])
    assert content["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
    assert {o["name"]: o["shape"] for o in content["outputs"]} == {
        "boxes": [-1, 4],
        **{name: [-1] for name in ("scores", "class_ids", "labels")},
    }
    config = http.get("/v2/models/yolov4/config").json()
    assert config["max_batch_size"] == 0
    assert config["input"] == [{"name": "image", "data_type": "TYPE_STRING", "dims": [1]}]
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert http.get("/v2/models").json() == {"models": ["yolov4"]}


def test_health(http: httpx.Client) -> None:
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"live": True, "ready": True}
    assert http.get("/v2/models/yolov4/ready").json() == {"name": "yolov4", "ready": True}
    for path in ("/v2/models/x", "/v2/models/x/ready", "/v2/models/yolov4/versions/9/ready"):
        response = http.get(path)
        assert response.status_code == 404
        assert set(response.json()) == {"error"}


def test_not_ready() -> None:
    with GatewayProcess(backend="127.0.0.1:1") as gateway:
        for path in ("/v2/health/ready", "/v2/models/yolov4/ready", "/v2/models/yolov4"):
            response = gateway.http.get(path)
            assert response.status_code == 503
            assert set(response.json()) == {"error"}
        assert gateway.http.get("/v2/health/live").status_code == 200
        assert gateway.metric('detect_rejected_total{reason="no-backend"}') == 0


def test_compressed_requests_are_refused(http: httpx.Client) -> None:
    response = http.post(INFER, json=as_json(), headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415
    assert "error" in response.json()
