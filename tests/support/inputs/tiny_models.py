"""SavedModels of a few operations, for a model server under test. Plain tf; a version in 0.3 s."""

import os
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


class Tiny(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """Several signatures, each for one thing a server must do right."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.constant(version)
        self.calls = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def double(self, x: Any) -> dict[str, Any]:
        """x [N] -> twice x, and the number of the version that answers."""
        return {"y": x * 2, "version": tf.identity(self.version)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="by")])  # type: ignore[untyped-decorator]
    def count(self, by: Any) -> dict[str, Any]:
        """How much has been counted since the model was loaded."""
        return {"calls": self.calls.assign_add(by)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float64, name="seconds")])  # type: ignore[untyped-decorator]
    def sleep(self, seconds: Any) -> dict[str, Any]:
        """Takes so long, and can be cancelled on the way."""
        end = tf.timestamp() + seconds
        now = tf.while_loop(lambda now: now < end, lambda _: tf.timestamp(), [tf.timestamp()])
        return {"late": now[0] - end, "version": tf.identity(self.version)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])  # type: ignore[untyped-decorator]
    def measure(self, image: Any) -> dict[str, Any]:
        """Encoded pictures [N] -> heights and widths [N, 2] and a word for each [N]."""
        sizes = tf.map_fn(
            lambda data: tf.shape(tf.io.decode_image(data, 3, expand_animations=False))[:2],
            image,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )
        words = tf.where(sizes[:, 0] > sizes[:, 1], "portrait", "landscape")
        return {"sizes": sizes, "words": words}


def save(base: Path, version: int, warmup: list[Any] | None = None) -> Path:
    """Writes `base/version`, which appears complete, by rename. `warmup`: PredictRequests."""
    module = Tiny(version)
    unfinished = base / f"unfinished-{version}"
    signatures = {
        "serving_default": module.double,
        "count": module.count,
        "sleep": module.sleep,
        "measure": module.measure,
    }
    tf.saved_model.save(module, os.fspath(unfinished), signatures=signatures)
    if warmup is not None:
        extra = unfinished / "assets.extra"
        extra.mkdir()
        with tf.io.TFRecordWriter(os.fspath(extra / "tf_serving_warmup_requests")) as records:
            for predict in warmup:
                log = prediction_log_pb2.PredictLog(request=predict)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                records.write(record.SerializeToString())
    return unfinished.rename(base / str(version))


def request(
    model: str, signature: str = "", *, version: int = 0, label: str = "", **inputs: Any
) -> Any:
    """A PredictRequest; each input is (value, dtype), or a TensorProto as it is."""
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = model
    predict.model_spec.signature_name = signature
    if version:
        predict.model_spec.version.value = version
    if label:
        predict.model_spec.version_label = label
    for name, value in inputs.items():
        proto = tf.make_tensor_proto(*value) if isinstance(value, tuple) else value
        predict.inputs[name].CopyFrom(proto)
    return predict
