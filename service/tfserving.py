"""The model server over gRPC: one channel, a deadline on every call, one table of status codes."""

import json
import time
from collections.abc import Callable

import grpc
from grpc import StatusCode as Code
from prometheus_client import Histogram

from . import messages as m
from .detector import Prediction
from .errors import (
    BackendFailed,
    BadPicture,
    DeadlineExceeded,
    DetectError,
    Full,
    NoBackend,
)
from .prediction import NOT_OURS, of_response, request_maker

# Every gRPC code, as the caller's trouble and a sentence for them. What the server itself said goes
# to the log: it names nodes of the graph.
ERRORS: dict[Code, tuple[type[DetectError], str]] = {
    Code.INVALID_ARGUMENT: (BadPicture, "The picture's data is damaged or ends early."),
    Code.NOT_FOUND: (NoBackend, "The model server does not serve this model or version."),
    Code.UNAVAILABLE: (NoBackend, "The model server cannot be reached."),
    Code.RESOURCE_EXHAUSTED: (Full, "The model server has no room for another request."),
    Code.DEADLINE_EXCEEDED: (DeadlineExceeded, "The model server did not answer in time."),
    Code.CANCELLED: (NoBackend, "The call to the model server was cancelled."),
    Code.FAILED_PRECONDITION: (BackendFailed, "The model server cannot run this model."),
    Code.UNIMPLEMENTED: (
        BackendFailed,
        "The backend is not a TensorFlow Serving prediction server.",
    ),
    Code.PERMISSION_DENIED: (BackendFailed, "The model server refused this gateway."),
    Code.UNAUTHENTICATED: (BackendFailed, "The model server refused this gateway."),
    Code.INTERNAL: (BackendFailed, "The model server failed."),
    Code.UNKNOWN: (BackendFailed, "The model server failed."),
    Code.DATA_LOSS: (BackendFailed, "The model server failed."),
    Code.ABORTED: (BackendFailed, "The model server failed."),
    Code.OUT_OF_RANGE: (BackendFailed, "The model server failed."),
    Code.ALREADY_EXISTS: (BackendFailed, "The model server failed."),
}

# Of a model whose signature is not contract 2 (predict_util.cc, direct_session.cc).
OPERATORS_MISTAKE = ("signature", "input alias", "expects arg")

MIB = 1024 * 1024
OPTIONS = [
    # A picture is limited at the edge, so sending is not limited again; an answer is some kilobytes
    # of boxes, and one of megabytes is another model's raw tensors.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1 * MIB),
    # A server that comes back is found within a second, not within gRPC's two minutes. The "min" is
    # how long one attempt may take, handshake included.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A machine that vanished is noticed while a call waits for it. Servers punish pings on idle
    # connections, so there are none.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
]


def target(backend: str) -> str:
    """DETECT_BACKEND for gRPC. Several are addresses: gRPC resolves only one name a channel."""
    several = [one.strip() for one in backend.split(",") if one.strip()]
    return several[0] if len(several) == 1 else "ipv4:" + ",".join(several)


class TFServing:
    """Make it inside the running event loop; close it there."""

    def __init__(
        self, backend: str, name: str, version: int | None, seconds: Callable[..., Histogram]
    ) -> None:
        self.backend = backend
        self.name = name
        self._spec = m.ModelSpec(name=name, signature_name="serving_default")
        if version is not None:
            self._spec.version.value = version
        self._request = request_maker(self._spec)
        self._seconds = seconds
        self._channel = grpc.aio.insecure_channel(target(backend), options=OPTIONS)
        self._predict = self._channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=None,
            response_deserializer=m.PredictResponse.FromString,
        )
        self._status = self._channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request_serializer=m.GetModelStatusRequest.SerializeToString,
            response_deserializer=m.GetModelStatusResponse.FromString,
        )

    async def close(self) -> None:
        await self._channel.close()

    async def predict(self, picture: bytes, timeout_s: float) -> Prediction:
        """`picture`: JPEG or PNG bytes. Raises what ERRORS says, caused by the server's words."""
        request = self._request(picture)
        started = time.perf_counter()
        code = Code.CANCELLED
        try:
            response = await self._predict(request, timeout=timeout_s)
            code = Code.OK
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise translated(error) from error
        finally:
            self._seconds(code.name).observe(time.perf_counter() - started)
        return of_response(response)

    async def version(self, timeout_s: float) -> int:
        """The version that answers now. Raises NoBackend where none is AVAILABLE."""
        request = m.GetModelStatusRequest(model_spec=self._spec)
        try:
            response = await self._status(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error
        states = response.model_version_status
        available = [s.version for s in states if s.state == m.ModelVersionStatus.AVAILABLE]
        if not available:
            seen = ", ".join(
                f"{s.version}: {m.ModelVersionStatus.State.Name(s.state)}" for s in states
            )
            raise NoBackend(
                f"No version of model {self.name!r} is AVAILABLE ({seen or 'none known'})."
            )
        return int(max(available))


def translated(error: grpc.aio.AioRpcError) -> DetectError:
    """The caller's view of a failed call."""
    code = error.code()
    # The one mistake of the operator's that TF Serving reports as the caller's.
    words = (error.details() or "").lower()
    if code is Code.INVALID_ARGUMENT and any(sign in words for sign in OPERATORS_MISTAKE):
        return BackendFailed(NOT_OURS)
    kind, sentence = ERRORS[code]
    return kind(sentence)
