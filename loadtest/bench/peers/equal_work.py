"""What every peer does between upload and answer: the part that is not its framework's.

Read width and height with Pillow, send the bytes to the backend over one grpc.aio channel, keep the
rows of 0.25 and more, clip them, and return the same object as the project's gateway.
"""

import io
import json
import os
from typing import Any

import grpc
from PIL import Image
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

Image.preinit()

THRESHOLD = 0.25
TIMEOUT_S = 10.0
# As the project's gateway sets them.
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
]


class Backend:
    """Make it in the process, and while the event loop runs, that will use it."""

    def __init__(self) -> None:
        channel = grpc.aio.insecure_channel(os.environ["BENCH_BACKEND"], options=OPTIONS)
        self._predict = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=predict_pb2.PredictRequest.SerializeToString,
            response_deserializer=predict_pb2.PredictResponse.FromString,
        )

    async def detect(self, data: bytes) -> dict[str, Any]:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            width, height = image.size
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "yolov4"
        request.model_spec.signature_name = "serving_default"
        tensor = request.inputs["image"]
        tensor.dtype = types_pb2.DT_STRING
        tensor.tensor_shape.dim.add().size = 1
        tensor.string_val.append(data)
        response = await self._predict(request, timeout=TIMEOUT_S)
        return {
            "model": {"name": "yolov4", "version": response.model_spec.version.value},
            "image": {"width": width, "height": height},
            "detections": _detections(response.outputs, width, height),
        }


def _detections(outputs: Any, width: int, height: int) -> list[dict[str, Any]]:
    boxes, scores = outputs["boxes"].float_val, outputs["scores"].float_val
    classes, labels = outputs["classes"].int_val, outputs["labels"].string_val
    found = []
    for i in range(outputs["num_detections"].int_val[0]):
        if scores[i] < THRESHOLD:
            break
        x_min, y_min, x_max, y_max = boxes[4 * i : 4 * i + 4]
        found.append(
            {
                "label": labels[i].decode(),
                "class_id": classes[i],
                "score": round(scores[i], 6),
                "box": {
                    "x_min": round(min(max(x_min, 0.0), width), 2),
                    "y_min": round(min(max(y_min, 0.0), height), 2),
                    "x_max": round(min(max(x_max, 0.0), width), 2),
                    "y_max": round(min(max(y_max, 0.0), height), 2),
                },
            }
        )
    return found
