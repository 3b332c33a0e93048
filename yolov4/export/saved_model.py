"""A network and its weights -> the SavedModel that TensorFlow Serving loads.

The signature `serving_default`, from encoded pictures to detections:

    image           string  [N]          encoded JPEG or PNG; sizes may differ within a batch
    boxes           float32 [N, 100, 4]  x_min, y_min, x_max, y_max in pixels of the decoded picture
    scores          float32 [N, 100]     objectness x class score, falling
    classes         int32   [N, 100]     index into the names
    labels          string  [N, 100]     the names themselves
    num_detections  int32   [N]          how many rows count; those after are zeros and ""

The signature `metadata`, what the model is:

    rows            string  [N]          anything, one for each row of the outputs
    class_names     string  [N, C]       the labels, by class id
    about           string  [N]          JSON: input size, precision, target
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from yolov4.export.repository import publish
from yolov4.graph.body import body as network_body
from yolov4.graph.detect import detections
from yolov4.graph.nms import MAX_DETECTIONS
from yolov4.graph.preprocess import preprocess
from yolov4.network.model import Model
from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types
# What `yolov4.graph.body` is, and what stands in its place where another compiler made it.
Body: TypeAlias = Callable[[Network, Sequence[ConvWeights], Tensor, str], list[Tensor]]

SIGNATURE = "serving_default"
METADATA = "metadata"
Compile: TypeAlias = Callable[[Path], Mapping[str, Any]]
NOT_FINITE = "the network's output is not finite: export it with another --precision"


def servable(
    model: Model,
    image: Tensor,
    precision: str = "float32",
    body: Body = network_body,
) -> dict[str, Tensor]:
    """The whole signature as a graph: image string [N] -> its outputs by name."""
    network = model.network
    with tf.name_scope("preprocess"):
        # Said here, because what a kernel makes of no pictures at all differs from one to the next.
        some = tf.debugging.Assert(tf.size(image) > 0, ["image: at least one picture expected"])
        with tf.control_dependencies([some]):
            image = tf.identity(image)
        pixels, sizes = preprocess(network, image)
    heads = body(network, model.weights, pixels, precision)
    with tf.name_scope("detect"):
        heads = _finite(heads)
        kept = detections(network, heads, sizes)
        counts = tf.range(MAX_DETECTIONS)[tf.newaxis] < kept.count[:, tf.newaxis]
        labels = tf.where(counts, tf.gather(tf.constant(list(model.names)), kept.classes), "")
    return {
        "boxes": tf.identity(kept.boxes_xyxy, "boxes"),
        "scores": tf.identity(kept.scores, "scores"),
        "classes": tf.identity(kept.classes, "classes"),
        "labels": tf.identity(labels, "labels"),
        "num_detections": tf.identity(kept.count, "num_detections"),
    }


def _finite(heads: Sequence[Tensor]) -> list[Tensor]:
    """The heads, unless one holds a NaN or an infinity: then the call fails.

    Both would compare as below every threshold, and the answer would be "nothing detected". The
    warm-up fails too, so that such a version never becomes AVAILABLE.
    """
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(head)) for head in heads])
    # On the CPU, because XLA may leave out an Assert that it compiles.
    with tf.device("/CPU:0"):
        check = tf.raw_ops.Assert(condition=finite, data=[NOT_FINITE])
    with tf.control_dependencies([check]):
        return [tf.identity(head) for head in heads]


def export(
    model: Model,
    repository: Path,
    name: str,
    provenance: Mapping[str, Any],
    precision: str = "float32",
    warm_batch_sizes: Sequence[int] = (1,),
    body: Body = network_body,
    compile_tf1: Compile | None = None,
) -> Path:
    """Write `<repository>/<name>/<next version>/` and return it.

    The version appears whole or not at all. `provenance`, anything JSON can say of where the model
    comes from, is kept in its `assets.extra/model.json`. `compile_tf1` replaces the SavedModel in a
    directory, written for TensorFlow 1.15, by a compiled one; what it returns is added there too.
    """

    about = {
        **provenance,
        "input": {"width": model.network.width, "height": model.network.height},
        "classes": len(model.names),
        "precision": precision,
        "tensorflow": tf.__version__,
    }
    metadata = {key: about[key] for key in ("input", "precision", "target") if key in about}

    def write(directory: Path) -> None:
        with _control_flow_v1() if compile_tf1 else contextlib.nullcontext():
            _save(model, precision, body, json.dumps(metadata), directory)
        about.update(compile_tf1(directory) if compile_tf1 else {})
        extra = directory / "assets.extra"
        extra.mkdir()
        _write_warm_up(extra / "tf_serving_warmup_requests", name, model.network, warm_batch_sizes)
        (extra / "model.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    return publish(repository / name, write)


def _save(
    model: Model,
    precision: str,
    body: Body,
    about: str,
    directory: Path,
) -> None:
    # A TF1 graph: its weights are constants, where a tf.function would make them captured
    # resources, which no longer fuse; and every loader since TensorFlow 1 can read it.
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.string, [None], "image")
        outputs = servable(model, image, precision, body)
        with tf.name_scope("metadata"):
            rows = v1.placeholder(tf.string, [None], "rows")
            metadata = {
                "class_names": tf.tile(tf.constant([list(model.names)]), [tf.size(rows), 1]),
                "about": tf.fill(tf.shape(rows), about),
            }
        signatures = {
            SIGNATURE: _signature({"image": image}, outputs),
            METADATA: _signature({"rows": rows}, metadata),
        }
        builder = v1.saved_model.Builder(str(directory))
        # An older TensorFlow does not know newer attributes, and needs none at its default.
        builder.add_meta_graph_and_variables(
            session, ["serve"], signatures, strip_default_attrs=True
        )
        builder.save()


@contextlib.contextmanager
def _control_flow_v1() -> Iterator[None]:
    """Write loops with the operations of TensorFlow 1 within the block.

    Today's are functions, with operations that have attributes unknown to TensorFlow 1.15, and
    tensorflow-neuron 1.15 was made for graphs without functions.
    """
    v1 = tf.compat.v1
    before = v1.control_flow_v2_enabled()
    v1.disable_control_flow_v2()
    try:
        yield
    finally:
        if before:
            v1.enable_control_flow_v2()


def _signature(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> SignatureDef:
    return SignatureDef(
        inputs={name: _tensor_info(tensor) for name, tensor in inputs.items()},
        outputs={name: _tensor_info(tensor) for name, tensor in outputs.items()},
        method_name="tensorflow/serving/predict",
    )


def _tensor_info(tensor: Tensor) -> TensorInfo:
    return TensorInfo(
        name=tensor.name,
        dtype=tensor.dtype.as_datatype_enum,
        tensor_shape=tensor.shape.as_proto(),
    )


def _write_warm_up(path: Path, name: str, network: Network, batch_sizes: Sequence[int]) -> None:
    # TensorFlow Serving answers these before it says AVAILABLE: the first caller does not wait, and
    # a model that cannot run fails to load instead of failing its callers.
    grey = np.full((network.height, network.width, 3), 128, np.uint8)
    picture = tf.io.encode_jpeg(grey).numpy()
    with tf.io.TFRecordWriter(str(path)) as records:
        for batch_size in batch_sizes:
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = SIGNATURE
            request.inputs["image"].CopyFrom(tf.make_tensor_proto([picture] * batch_size))
            records.write(log.SerializeToString())
