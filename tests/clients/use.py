"""`python use.py CLIENT URL MODEL PICTURE`: one real client, in the environment that has them all.

Prints JSON: `[[label, score, [x_min, y_min, x_max, y_max]], …]`, or the name of the exception.
"""

import asyncio
import base64
import json
import sys
import urllib.request
from pathlib import Path

URL, MODEL, PATH = sys.argv[2:]
ADDRESS = URL.removeprefix("http://")
HOST, PORT = ADDRESS.split(":")
PICTURE = Path(PATH).read_bytes()
B64 = base64.b64encode(PICTURE).decode()


def of_deepstack(predictions):
    sides = ("x_min", "y_min", "x_max", "y_max")
    return [[p["label"], p["confidence"], [p[side] for side in sides]] for p in predictions]


def of_outputs(outputs):
    boxes = outputs["boxes"]
    rows = [boxes[i : i + 4] for i in range(0, len(boxes), 4)]
    return [list(row) for row in zip(outputs["labels"], outputs["scores"], rows, strict=True)]


def of_detections(detections):
    return [[d["label"], d["score"], list(d["box"].values())] for d in detections]


def deepstack_python():
    from deepstack.core import DeepstackObject

    return of_deepstack(DeepstackObject(HOST, int(PORT), min_confidence=0.25).detect(PICTURE))


def codeproject_ai_api():
    from codeprojectai.core import CodeProjectAIObject

    model = CodeProjectAIObject(HOST, int(PORT), min_confidence=0.25, custom_model="ipcam-general")
    return of_deepstack(model.detect(PICTURE))


def deepstack_sdk():
    from deepstack_sdk import Detection, ServerConfig

    found = Detection(ServerConfig(URL)).detectObject(PATH, min_confidence=0.25)
    return [[d.label, d.confidence, [d.x_min, d.y_min, d.x_max, d.y_max]] for d in found]


def pydoods():
    from pydoods import PyDOODS

    found = PyDOODS(URL).detect(PICTURE, {"*": 25}, "default")["detections"]
    sides = ("left", "top", "right", "bottom")
    return [[d["label"], d["confidence"] / 100, [d[side] for side in sides]] for d in found]


def tritonclient():
    import numpy as np
    import tritonclient.http as triton

    client = triton.InferenceServerClient(ADDRESS)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    names = [output["name"] for output in client.get_model_metadata(MODEL)["outputs"]]
    image = triton.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([PICTURE], dtype=object))
    result = client.infer(MODEL, [image])
    return of_outputs({name: result.as_numpy(name).ravel().tolist() for name in names})


def open_inference_openapi():
    from open_inference.openapi.client import (
        InferenceRequest,
        OpenInferenceClient,
    )

    client = OpenInferenceClient(base_url=URL)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness(MODEL)
    assert client.read_model_metadata(MODEL).platform == "tensorflow_savedmodel"
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [B64]}
    answer = client.model_infer(MODEL, request=InferenceRequest(inputs=[tensor]))
    return of_outputs({o.name: list(getattr(o.data, "__root__", o.data)) for o in answer.outputs})


def kserve_v2():
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    async def run():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_live(URL)
        assert await client.is_server_ready(URL)
        assert await client.is_model_ready(URL, MODEL)
        image = InferInput("image", [1], "BYTES", data=[B64])
        request = InferRequest(model_name=MODEL, infer_inputs=[image])
        return await client.infer(URL, request, model_name=MODEL)

    return of_outputs({output.name: output.data for output in asyncio.run(run()).outputs})


def kserve_v1():
    from kserve import InferenceRESTClient, RESTConfig

    async def run():
        client = InferenceRESTClient(RESTConfig(protocol="v1"))
        assert await client.is_model_ready(URL, MODEL)
        return await client.infer(URL, {"instances": [{"b64": B64}]}, model_name=MODEL)

    return of_detections(asyncio.run(run())["predictions"][0]["detections"])


def ovmsclient():
    from ovmsclient import make_http_client

    (row,) = make_http_client(ADDRESS).predict({"image": PICTURE}, MODEL)
    return of_detections(row["detections"])


def supervision():
    from supervision import Detections

    request = urllib.request.Request(f"{URL}/detect?format=roboflow", PICTURE)
    request.add_header("Content-Type", "image/jpeg")
    with urllib.request.urlopen(request) as response:
        found = Detections.from_inference(json.load(response))
    names = found.data["class_name"].tolist()
    return [
        list(row) for row in zip(names, found.confidence.tolist(), found.xyxy.tolist(), strict=True)
    ]


try:
    print(json.dumps(globals()[sys.argv[1]]()))
except Exception as error:
    print(json.dumps(f"{type(error).__module__}.{type(error).__name__}: {error}"))
