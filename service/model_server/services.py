"""The gRPC services, and the limit on calls at the same time.

Texts follow tensorflow/serving `servables/tensorflow/{predict,get_model_metadata}_impl.cc` and
`model_servers/{get_model_status,model_service}_impl.cc`, `classifier.cc` and `regressor.cc`.
"""

import asyncio
import functools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
import tensorflow as tf
from grpc import StatusCode as Code
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)

from .repository import Repository

# The one table from TensorFlow's errors to gRPC's codes: both number the canonical codes alike.
GRPC_CODES: dict[int, Code] = {code.value[0]: code for code in Code}
MAX_ERROR_LENGTH = 1024  # characters; model_servers/grpc_status_util.cc
log = logging.getLogger(__name__)


async def refuse(context: Any, error: tf.errors.OpError) -> NoReturn:
    text = error.message
    if len(text) > MAX_ERROR_LENGTH:
        text = text[:MAX_ERROR_LENGTH] + "...TRUNCATED"
    await context.abort(GRPC_CODES[error.error_code], text)
    raise AssertionError("abort raises")


class ThreadLimit(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc.aio has no types
    """--grpc_max_threads: refuses every call beyond it, status calls included; nothing queues.

    One thread of the real server waits for the next call, so one call fewer than that can run. A
    call whose caller has gone occupies its thread until it is done.
    """

    def __init__(self, threads: int) -> None:
        self._free = threads - 1

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            functools.partial(self._limited, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    async def _limited(self, method: Any, request: Any, context: Any) -> Any:
        if self._free <= 0:
            await context.abort(Code.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        self._free -= 1
        call = asyncio.ensure_future(method(request, context))
        call.add_done_callback(self._release)
        return await asyncio.shield(call)

    def _release(self, call: "asyncio.Future[Any]") -> None:
        self._free += 1
        if not call.cancelled():
            call.exception()  # retrieve it in case the caller has gone


class PredictionService:
    def __init__(self, repository: Repository, threads: int) -> None:
        self._repository = repository
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def Predict(self, request: Any, context: Any) -> Any:
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        run = functools.partial(self._predict, request, deadline)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except tf.errors.OpError as error:
            await refuse(context, error)

    def _predict(self, request: Any, deadline: float | None) -> Any:
        if not request.HasField("model_spec"):
            raise tf.errors.InvalidArgumentError(None, None, "Missing ModelSpec")
        timeout_ms = 0
        if deadline is not None:
            timeout_ms = int((deadline - time.monotonic()) * 1000)
            if timeout_ms <= 0:
                raise tf.errors.DeadlineExceededError(None, None, "Deadline passed while queued")
        with self._repository.acquire(request.model_spec) as (version, servable):
            response = servable.predict(request, timeout_ms)
        response.model_spec.version.value = version.number
        return response

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        try:
            return self._metadata(request)
        except tf.errors.OpError as error:
            await refuse(context, error)

    def _metadata(self, request: Any) -> Any:
        if not request.HasField("model_spec"):
            raise tf.errors.InvalidArgumentError(None, None, "Missing ModelSpec")
        if not request.metadata_field:
            text = "GetModelMetadataRequest must specify at least one metadata_field"
            raise tf.errors.InvalidArgumentError(None, None, text)
        for name in request.metadata_field:
            if name != "signature_def":
                text = f"Metadata field {name} is not supported"
                raise tf.errors.InvalidArgumentError(None, None, text)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._repository.acquire(request.model_spec) as (version, servable):
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        response.metadata["signature_def"].Pack(signatures)
        return response

    async def Classify(self, request: Any, context: Any) -> NoReturn:
        await self._refuse_examples("classification", "classify", request, context)

    async def Regress(self, request: Any, context: Any) -> NoReturn:
        await self._refuse_examples("regression", "regress", request, context)

    async def MultiInference(self, request: Any, context: Any) -> NoReturn:
        # TensorFlow Serving also refuses it for a model without such signatures, in other words.
        text = "The embedded model server serves signatures of tensorflow/serving/predict only"
        await context.abort(Code.INVALID_ARGUMENT, text)
        raise AssertionError("abort raises")

    async def _refuse_examples(
        self, kind: str, method: str, request: Any, context: Any
    ) -> NoReturn:
        """What TensorFlow Serving says of a model that has no signature of this kind."""
        try:
            if not request.HasField("model_spec"):
                raise tf.errors.InvalidArgumentError(None, None, "Missing ModelSpec")
            with self._repository.acquire(request.model_spec) as (_, servable):
                name = request.model_spec.signature_name or "serving_default"
                if name not in servable.signatures:
                    text = f"No signature was found with the name: {name}"
                    raise tf.errors.InvalidArgumentError(None, None, text)
                text = (
                    f"Expected {kind} signature method_name to be tensorflow/serving/{method}. "
                    f"Was: {servable.signatures[name].method_name}"
                )
                raise tf.errors.InvalidArgumentError(None, None, text)
        except tf.errors.OpError as error:
            await refuse(context, error)


class ModelService:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        try:
            if not request.HasField("model_spec"):
                raise tf.errors.InvalidArgumentError(None, None, "Missing ModelSpec")
            for number, state, status in self._repository.states(request.model_spec):
                response.model_version_status.add(version=number, state=state, status=status)
        except tf.errors.OpError as error:
            await refuse(context, error)
        return response

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        try:
            if request.config.WhichOneof("config") != "model_config_list":
                raise tf.errors.InvalidArgumentError(
                    None,
                    None,
                    "ServerModelConfig type not supported by HandleReloadConfigRequest."
                    " Only ModelConfigList is currently supported",
                )
            new = self._repository.configure(request.config)
            await asyncio.to_thread(
                self._repository.wait_until_loaded, new, context.time_remaining()
            )
        except tf.errors.OpError as error:
            log.error("Reloading the configuration failed: %s", error.message)
            await refuse(context, error)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response
