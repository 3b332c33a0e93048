"""A model server whose answers a test chooses, on a real gRPC socket."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc

from service.backend import messages as m

Row = tuple[str, int, float, tuple[float, float, float, float]]
DOG: Row = ("dog", 16, 0.75, (10.25, 20.5, 60.0, 90.0))
CAT: Row = ("cat", 15, 0.5, (-5.0, 3.0, 2000.0, 40.0))
MOUSE: Row = ("mouse", 64, 0.125, (1.0, 1.0, 2.0, 2.0))


def answer(rows: list[Row], version: int = 3, raw: bool = False) -> Any:
    """Contract 2's answer for one picture, padded to 100 rows, as TF Serving sends it.

    `raw`: numbers in tensor_content, as with --enable_serialization_as_tensor_content.
    """
    import struct

    response = m.PredictResponse()
    response.model_spec.name = "yolov4"
    response.model_spec.version.value = version
    padded = rows + [("", 0, 0.0, (0.0, 0.0, 0.0, 0.0))] * (100 - len(rows))
    numbers: dict[str, tuple[str, list[Any]]] = {
        "boxes": ("f", [v for row in padded for v in row[3]]),
        "scores": ("f", [row[2] for row in padded]),
        "classes": ("i", [row[1] for row in padded]),
        "num_detections": ("i", [len(rows)]),
    }
    for name, (kind, values) in numbers.items():
        tensor = response.outputs[name]
        tensor.dtype = m.DT_FLOAT if kind == "f" else m.DT_INT32
        if raw:
            tensor.tensor_content = struct.pack(f"{len(values)}{kind}", *values)
        else:
            (tensor.float_val if kind == "f" else tensor.int_val).extend(values)
    labels = response.outputs["labels"]
    words = [row[0].encode() for row in padded]
    if raw:  # all lengths, which here are one byte each, and then all characters
        labels.tensor_shape.dim.add(size=1)
        labels.tensor_shape.dim.add(size=len(words))
        labels.tensor_content = bytes(map(len, words)) + b"".join(words)
    else:
        labels.string_val.extend(words)
    return response


@dataclass
class FakeBackend:
    """`reply` gets a picture's bytes and returns an answer, or its bytes, or raises `Refuse`."""

    reply: Callable[[bytes], Any] = lambda picture: answer([DOG, CAT, MOUSE])
    state: int = m.ModelVersionStatus.AVAILABLE
    delay_s: float = 0
    host: str = "127.0.0.1"
    port: int = 0
    status: bytes | None = None  # instead of `state`
    status_delay_s: float = 0
    version: int = 3
    class_names: tuple[str, ...] | None = None  # None: a model without the signature `metadata`
    about: str = '{"input": {"width": 416, "height": 416}, "precision": "float32"}'
    credentials: grpc.ServerCredentials | None = None
    pictures: list[bytes] = field(default_factory=list)
    filters: list[list[str]] = field(default_factory=list)  # each call's outputs; empty is all
    metadata: list[dict[str, str]] = field(default_factory=list)  # each call's, by key
    budgets_s: list[float] = field(default_factory=list)  # each call's remaining time on arrival
    status_refusal: "Refuse | None" = None  # what GetModelStatus is refused with
    cancelled: int = 0  # calls that ended before their answer
    others: dict[str, "FakeBackend"] = field(default_factory=dict)  # further models, by name
    versions: dict[int, Callable[[bytes], Any]] = field(default_factory=dict)  # `reply` of each
    labels: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> "FakeBackend":
        # Like TensorFlow Serving, without gRPC's limit of 4 MiB.
        options = [("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(ThreadPoolExecutor(16), options=options)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "tensorflow.serving.PredictionService",
                    {
                        "Predict": grpc.unary_unary_rpc_method_handler(
                            lambda r, context: self._model(r)._predict(r, context),
                            m.PredictRequest.FromString,
                            lambda a: a if isinstance(a, bytes) else a.SerializeToString(),
                        ),
                        "GetModelMetadata": grpc.unary_unary_rpc_method_handler(
                            lambda r, context: self._model(r)._signatures(r, context),
                            m.GetModelStatusRequest.FromString,
                            m.GetModelStatusRequest.SerializeToString,
                        ),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    "tensorflow.serving.ModelService",
                    {
                        "GetModelStatus": grpc.unary_unary_rpc_method_handler(
                            lambda r, context: self._model(r)._status(r, context),
                            m.GetModelStatusRequest.FromString,
                            lambda a: self.status or a.SerializeToString(),
                        )
                    },
                ),
            )
        )
        address = f"{self.host}:{self.port}"
        if self.credentials:
            self.port = self._server.add_secure_port(address, self.credentials)
        else:
            self.port = self._server.add_insecure_port(address)
        self.target = f"{self.host}:{self.port}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _model(self, request: Any) -> "FakeBackend":
        return self.others.get(request.model_spec.name, self)

    def _metadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.class_names is None:
            refused = grpc.StatusCode.FAILED_PRECONDITION
            context.abort(refused, 'Serving signature key "metadata" not found.')
        assert request.model_spec.version.value in (self.version, *self.versions)
        assert list(request.inputs["rows"].string_val) == [b""]
        response = m.PredictResponse()
        response.outputs["class_names"].string_val.extend(map(str.encode, self.class_names or ()))
        response.outputs["about"].string_val.append(self.about.encode())
        return response

    def _predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.model_spec.signature_name == "metadata":
            return self._metadata(request, context)
        assert request.model_spec.signature_name == "serving_default"
        tensor = request.inputs["image"]
        assert tensor.dtype == m.DT_STRING
        assert [d.size for d in tensor.tensor_shape.dim] == [1]
        reply = self._reply(request.model_spec, context)
        self.pictures.append(tensor.string_val[0])
        self.filters.append(list(request.output_filter))
        self.metadata.append(dict(context.invocation_metadata()))
        self.budgets_s.append(context.time_remaining())
        time.sleep(self.delay_s)
        self.cancelled += not context.is_active()
        try:
            return reply(tensor.string_val[0])
        except Refuse as refusal:
            context.abort(refusal.code, refusal.details)

    def _number(self, spec: Any, context: grpc.ServicerContext) -> int:
        """As TensorFlow Serving: the version that a ModelSpec means."""
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label" and spec.version_label not in self.labels:
            text = f"Unrecognized servable version label: {spec.version_label}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        number = self.labels.get(spec.version_label) or spec.version.value
        if choice and number not in (self.versions or [self.version]):
            text = f"Servable not found for request: Specific({spec.name}, {number})"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        return int(number or max(self.versions))

    def _reply(self, spec: Any, context: grpc.ServicerContext) -> Callable[[bytes], Any]:
        number = self._number(spec, context) if spec.WhichOneof("version_choice") else self.version
        return self.versions.get(number, self.reply)

    def _signatures(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = m.GetModelStatusRequest()  # begins alike
        response.model_spec.version.value = self._number(request.model_spec, context)
        return response

    def _status(self, request: Any, context: grpc.ServicerContext) -> Any:
        time.sleep(self.status_delay_s)
        if self.status_refusal:
            context.abort(self.status_refusal.code, self.status_refusal.details)
        response = m.GetModelStatusResponse()
        for number in self.versions or [self.version]:
            if request.model_spec.version.value in (0, number):
                response.model_version_status.add(version=number, state=self.state)
        if not response.model_version_status:
            text = f"Could not find version of model {request.model_spec.name}"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        return response


class Refuse(Exception):
    """Raised in a `reply`: the call ends with this status."""

    def __init__(self, code: grpc.StatusCode, details: str = "words of the backend") -> None:
        self.code = code
        self.details = details
