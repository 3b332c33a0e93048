"""SageMaker's, Vertex AI's and TensorFlow Serving's requests."""

import base64
import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT, free_port

B64 = base64.b64encode(picture()).decode()
BAD = base64.b64encode(b"rubbish").decode()


def test_sagemaker_sends_the_picture_itself(http: httpx.Client) -> None:
    own = http.post("/detect", files={"image": picture()}).json()
    for media_type in ("image/jpeg", "image/jpg", "image/png"):
        headers = {"Content-Type": media_type, "X-Amzn-SageMaker-Custom-Attributes": "x=1"}
        assert http.post("/invocations", content=picture(), headers=headers).json() == own


@pytest.mark.parametrize("row", [B64, {"b64": B64}, {"image": {"b64": B64}}, {"image_bytes": B64}])
def test_every_form_of_a_row(http: httpx.Client, row: object) -> None:
    own = http.post("/detect", files={"image": picture()}).json()
    for path in ("/invocations", "/v1/models/yolov4:predict"):
        answer = http.post(path, json={"instances": [row, row]})
        assert answer.json() == {"predictions": [own, own]}


def test_columns_and_any_content_type(http: httpx.Client) -> None:
    body = json.dumps({"inputs": {"image": [{"b64": B64}]}, "signature_name": "serving_default"})
    for version in ("", "/versions/0", "/versions/3"):
        answer = http.post(f"/v1/models/yolov4{version}:predict", content=body)
        assert len(answer.json()["outputs"]) == 1
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # what `curl -d` says
    assert http.post("/v1/models/yolov4:predict", content=body, headers=form).status_code == 200


def test_parameters(http: httpx.Client) -> None:
    content = {"instances": [B64], "parameters": {"score_threshold": 0.1, "max_detections": 2}}
    (row,) = http.post("/invocations", json=content).json()["predictions"]
    assert [d["label"] for d in row["detections"]] == ["dog", "motorbike"]


def test_a_bad_picture_affects_no_other(http: httpx.Client) -> None:
    good, bad, last = http.post("/invocations", json={"instances": [B64, BAD, B64]}).json()[
        "predictions"
    ]
    assert good == last
    assert "not a picture" in bad["error"]


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        ({}, 400, "Missing 'inputs' or 'instances' key"),
        ({"instances": B64}, 400, "must be a list"),
        ({"instances": [7]}, 400, "instances[0] must be a picture"),
        ({"instances": ["http://127.0.0.1/"]}, 400, "is a URL"),
        ({"instances": [B64] * 5}, 413, "at most 4"),
        ({"instances": [B64], "parameters": 7}, 422, "must be an object"),
        ({"instances": [B64], "parameters": {"max_detections": 1.5}}, 422, "whole number"),
        ({"instances": [B64], "parameters": {"score_threshold": "x"}}, 422, "from 0 to 1"),
    ],
)
def test_errors(http: httpx.Client, content: object, status: int, sentence: str) -> None:
    for path in ("/invocations", "/v1/models/yolov4:predict"):
        response = http.post(path, json=content)
        assert response.status_code == status
        assert set(response.json()) == {"error"}
        assert sentence in response.json()["error"]


def test_no_instances_is_an_empty_answer(http: httpx.Client) -> None:
    assert http.post("/invocations", json={"instances": []}).json() == {"predictions": []}


def test_status_and_readiness(http: httpx.Client) -> None:
    assert http.get("/ping").content == b""
    content = http.get("/v1/models/yolov4").json()
    assert content["ready"] is True
    assert content["model_version_status"] == [
        {
            "version": "3",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
    for path, error in (
        ("/v1/models/half", "There is no model 'half', only 'yolov4'."),
        ("/v1/models/yolov4/versions/9", "Version '9' of model 'yolov4' is not served."),
    ):
        response = http.get(path)
        assert (response.status_code, response.json()) == (404, {"error": error})


def test_an_outage_fails_the_request(tmp_path: object) -> None:
    with GatewayProcess(backend="127.0.0.1:1") as gateway:
        assert gateway.http.get("/ping").status_code == 503
        for path in ("/invocations", "/v1/models/yolov4:predict"):
            response = gateway.http.post(path, json={"instances": [B64, B64]})
            assert response.status_code == 503
            assert set(response.json()) == {"error"}
            assert "retry-after" in response.headers


def test_vertex_names_its_routes(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/v1/endpoints/7/deployedModels/8:predict")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/v1/endpoints/7/deployedModels/8")
    with GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        route = "/v1/endpoints/7/deployedModels/8"
        assert gateway.http.get(route).status_code == 200
        answer = gateway.http.post(f"{route}:predict", json={"instances": [{"b64": B64}]})
        assert len(answer.json()["predictions"][0]["detections"]) == 2


def test_vertex_names_its_port(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIP_HTTP_PORT", port := str(free_port()))
    settings = {k: v for k, v in os.environ.items() if not k.startswith("DETECT_")}
    settings |= {"DETECT_BACKEND": backend.target}
    command = [sys.executable, "-m", "service"]
    with subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.PIPE) as process:
        assert process.stderr
        try:
            lines = (json.loads(line) for line in process.stderr)
            listening = next(line for line in lines if line["event"] == "listening")
        finally:
            process.kill()
    assert (listening["host"], str(listening["port"])) == ("0.0.0.0", port)


def test_probes_are_not_logged(gateway: GatewayProcess) -> None:
    for path in ("/ping", "/v2/health/live", "/v2/health/ready"):
        gateway.http.get(path)
    gateway.http.get("/v2")
    paths = {line["path"] for line in gateway.log("request")}
    assert "/v2" in paths
    assert not {"/ping", "/v2/health/live", "/v2/health/ready"} & paths
