"""In-process TensorFlow, the embedded model server and the gateway: the same detections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tests.support.inputs.official import NAME, SAMPLES
from tests.support.inputs.yolov4_models import load
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.processes.model_server_process import Server
from tests.support.processes.whole_service import whole_service


@pytest.fixture(scope="module")
def service(
    coco_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GatewayProcess, Server]]:
    with whole_service(tmp_path_factory.mktemp("log"), coco_repository, NAME) as processes:
        yield processes


def over_grpc(server: Server, jpeg: bytes) -> dict[str, Any]:
    request = PredictRequest()
    request.model_spec.name = NAME
    request.inputs["image"].CopyFrom(tf.make_tensor_proto([jpeg], tf.string, [1]))
    outputs = server.predict(request).outputs
    return {key: tf.make_ndarray(tensor) for key, tensor in outputs.items()}


def as_the_contract_rounds(outputs: dict[str, Any], jpeg: Path) -> list[dict[str, Any]]:
    """Boxes clipped to the picture, of 0.01 pixels; scores of six digits."""
    with Image.open(jpeg) as image:
        width, height = image.size
    rows = []
    for row in range(int(outputs["num_detections"][0])):
        limits = (width, height, width, height)
        sides = zip(outputs["boxes"][0, row].tolist(), limits, strict=True)
        clipped = [round(min(max(side, 0.0), limit), 2) for side, limit in sides]
        box = dict(zip(("x_min", "y_min", "x_max", "y_max"), clipped, strict=True))
        rows.append(
            {
                "label": outputs["labels"][0, row].decode(),
                "class_id": int(outputs["classes"][0, row]),
                "score": round(float(outputs["scores"][0, row]), 6),
                "box": box,
            }
        )
    return rows


@pytest.mark.parametrize("photo", SAMPLES, ids=lambda path: path.stem)
def test_all_three_give_the_same(
    service: tuple[GatewayProcess, Server], coco_repository: Path, photo: Path
) -> None:
    gateway, server = service
    jpeg = photo.read_bytes()
    in_process = load(coco_repository / NAME / "1")([jpeg])
    served = over_grpc(server, jpeg)
    assert served.keys() == in_process.keys()
    for key, values in in_process.items():
        np.testing.assert_array_equal(served[key], values, err_msg=key)
    response = gateway.http.post("/detect?score_threshold=0", files={"image": jpeg})
    assert response.json()["detections"] == as_the_contract_rounds(in_process, photo)
    assert len(response.json()["detections"]) > 10
