"""Loads, warms up and runs one SavedModel, as TensorFlow Serving does.

Errors are `tf.errors.OpError`, here what absl::Status is in TensorFlow Serving: a canonical code
and a text. Codes and texts follow tensorflow/serving `servables/tensorflow/predict_util.cc` and
`saved_model_warmup*.cc`, tensorflow `cc/saved_model/{loader,util}.cc`.
"""

import copy
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from . import tensor_proto
from .batching.batcher import Batcher

WARMUP_REQUESTS = Path("assets.extra", "tf_serving_warmup_requests")
MAX_WARMUP_RECORDS = 1000


class Servable:
    """Loads `path`, warmed up, or raises; answers `predict` from any thread until `close`."""

    def __init__(
        self,
        path: Path,
        session_config: Any,
        *,
        warmup_iterations: int = 1,
        tensor_content: bool = False,
        batcher: Batcher | None = None,
    ) -> None:
        """`warmup_iterations`: how often each warm-up request is run. `tensor_content`: return
        packed bytes; TensorFlow Serving's default is typed fields. `batcher`: joins requests,
        warm-up requests included."""
        if not any((path / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise tf.errors.NotFoundError(
                None,
                None,
                "Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
                f"{path}. Check that the directory exists and that you have the right permissions "
                "for accessing it.",
            )
        self._tensor_content = tensor_content
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=session_config)
        self._handles: dict[str, Any] = {}
        self._run_batched = functools.partial(batcher.run, self._run_now) if batcher else None
        try:
            self.signatures = self._import(path)
            self._declared = set(map(_tensors, self.signatures.values()))
            if warmup_iterations:
                self._warm_up(path / WARMUP_REQUESTS, warmup_iterations)
        except BaseException:
            self.close()
            raise

    def _import(self, path: Path) -> Mapping[str, Any]:
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session, [tf.saved_model.SERVING], os.fspath(path)
                )
                # A part of a message keeps the whole alive, weights included: hence no functions,
                # of which Python keeps the signatures and TensorFlow all it needs, and copies.
                getattr(self._graph, "_functions", {}).clear()  # private
                return {k: copy.deepcopy(v) for k, v in meta_graph.signature_def.items()}
        # Python's loader raises these where the C++ one has a status.
        except OSError as error:  # the file cannot be parsed
            if (path / "saved_model.pb").exists():
                text = "Read less bytes than requested"
                raise tf.errors.OutOfRangeError(None, None, text) from error
            raise tf.errors.DataLossError(None, None, str(error)) from error
        except RuntimeError as error:  # no meta graph with the tag
            raise tf.errors.NotFoundError(None, None, str(error)) from error

    def close(self) -> None:
        """Frees the model. Runs still under way end with CANCELLED."""
        self._session.close()

    def predict(self, request: Any, timeout_ms: int = 0) -> Any:
        """A PredictRequest -> its PredictResponse, version not set. `timeout_ms` 0: no limit."""
        name = request.model_spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        signature = self.signatures.get(name)
        if signature is None:
            raise tf.errors.FailedPreconditionError(
                None, None, f'Serving signature key "{name}" not found.'
            )
        feeds = self._feeds(signature, request.inputs)
        fetches = _fetches(signature, request.output_filter)
        # batching_session.cc bypasses the batcher for all but whole signatures.
        batched = self._fed(feeds), frozenset(fetches.values())
        run = (batched in self._declared and self._run_batched) or self._run_now
        arrays = run(feeds, [self._handle(tensor) for tensor in fetches.values()], timeout_ms)

        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = name
        for alias, array in zip(fetches, arrays, strict=True):
            tensor_proto.fill(response.outputs[alias], array, tensor_content=self._tensor_content)
        return response

    def _feeds(self, signature: Any, inputs: Mapping[str, Any]) -> dict[Any, Any]:
        if len(inputs) > len(signature.inputs) or (
            len(inputs) < len(signature.inputs) and not signature.defaults
        ):
            sent, known = set(inputs), set(signature.inputs)
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"input size does not match signature: {len(sent)}!={len(known)} "
                f"len({_braced(sent)}) != len({_braced(known)}). "
                f"Sent extra: {_braced(sent - known)}. "
                f"Missing but required: {_braced(known - sent)}.",
            )
        feeds = {}
        for alias, info in signature.inputs.items():
            if alias in inputs:
                proto = inputs[alias]
            elif alias in signature.defaults:
                proto = signature.defaults[alias]
            else:
                raise tf.errors.InvalidArgumentError(
                    None,
                    None,
                    f"Signature input alias: {alias}(feed name: {info.name}) not found in request "
                    "and no default value provided. Inputs expected to be in the request "
                    f"{_braced(inputs)}, or default input alias set: "
                    + ",".join(sorted(signature.defaults)),
                )
            try:
                feeds[self._handle(info.name)] = tensor_proto.parse(proto)
            except (TypeError, ValueError, MemoryError) as error:
                raise tf.errors.InvalidArgumentError(
                    None, None, f"tensor parsing error: {alias}"
                ) from error
        if unknown := set(inputs) - set(signature.inputs):
            used = set(inputs) - unknown
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"Inputs contains invalid name. Used request inputs: {','.join(sorted(used))}, "
                f"request input: {','.join(sorted(inputs))}",
            )
        return feeds

    def _fed(self, feeds: dict[Any, Any]) -> frozenset[str]:
        return frozenset(name for name, handle in self._handles.items() if handle in feeds)

    def _handle(self, tensor_name: str) -> Any:
        handle = self._handles.get(tensor_name)
        if handle is None:
            try:
                tensor = self._graph.get_tensor_by_name(tensor_name)
            except (KeyError, ValueError) as error:
                raise tf.errors.InvalidArgumentError(
                    None, None, f"Tensor {tensor_name} was not found in the Graph"
                ) from error
            # One handle for a name, whichever thread comes first: batches are joined by it.
            handle = self._handles.setdefault(tensor_name, tensor._as_tf_output())
        return handle

    def _run_now(self, feeds: dict[Any, Any], fetches: list[Any], timeout_ms: int) -> list[Any]:
        # The C call beneath Session.run, because it is what TensorFlow Serving calls: Session.run
        # silently casts a feed of the wrong dtype, checks shapes TensorFlow Serving does not check,
        # rewrites the error texts, and takes 0.2 ms more. A Callable takes no timeout per call.
        options = tf.compat.v1.RunOptions(timeout_in_ms=timeout_ms)
        buffer = pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            arrays: list[Any] = pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session, buffer, feeds, fetches, [], None
            )
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)
        return arrays

    def _warm_up(self, path: Path, iterations: int) -> None:
        if not path.exists():
            return
        records = tf.compat.v1.io.tf_record_iterator(os.fspath(path))
        for count, record in enumerate(records, start=1):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof("log_type")
            if kind == "predict_log":
                for _ in range(iterations):
                    self.predict(log.predict_log.request)
            elif kind is not None:
                raise tf.errors.UnimplementedError(
                    None, None, f"Unsupported log_type for warmup: {kind}"
                )
            if count > MAX_WARMUP_RECORDS:
                text = f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS})"
                raise tf.errors.InvalidArgumentError(None, None, f"{text} at {path}")


def _tensors(signature: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Names of a signature's input and output tensors."""
    inputs, outputs = signature.inputs.values(), signature.outputs.values()
    return frozenset(info.name for info in inputs), frozenset(info.name for info in outputs)


def _fetches(signature: Any, output_filter: Any) -> dict[str, str]:
    """Alias -> tensor name of the outputs asked for; all of them when none is named."""
    if not output_filter:
        return {alias: info.name for alias, info in signature.outputs.items()}
    fetches: dict[str, str] = {}
    for alias in output_filter:
        if alias not in signature.outputs:
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_braced(signature.outputs)}.",
            )
        if alias in fetches:
            raise tf.errors.InvalidArgumentError(
                None, None, f"duplicate output tensor alias: {alias}"
            )
        fetches[alias] = signature.outputs[alias].name
    return fetches


def _braced(names: Any) -> str:
    return "{" + ",".join(sorted(names)) + "}"
