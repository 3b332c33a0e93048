"""The network as one program of Inferentia's NeuronCores, and the host's graph around it.

tensorflow-neuron 2.10 compiles the function passed to `tensorflow.neuron.trace`. The AWS post used
TensorFlow 1.15, where `tfn.saved_model.compile` took the whole graph, with arguments for what to
exclude. Those arguments, and their counterparts here:

    no_fuse_ops           kept the casts back to float32 and all after them on the host, so that
                          16 bits cross the bus. Here only the network is traced: 16 bits in, 16
                          bits out. Decoding, casts and NMS are built around it.
    minimum_segment_size  left small pieces on the host, so that one piece was compiled. Here there
                          is only one piece: see `_refuse_foreign` and `_only_program`.
    batch_size            how many pictures a run takes; 1 was best. Here the example's first axis.
    dynamic_batch_size    a request of N pictures becomes N / batch_size runs, on all four cores.
                          Here a flag in NEURON_CC_FLAGS.

There must be exactly one piece: with a second NeuronOp in the graph, tensorflow-neuron loads the
model on one core instead of all (set_execution_plan in its graph_def_util.py).

The program's graph is imported into the same TensorFlow 1 graph as for the other targets, so all
are saved, loaded and verified alike; tf-neuron-auto-multicore of tensorflow-neuron accepts such
graphs too. Written from tensorflow-neuron's source and tested against its call signatures and its
rules; not yet run with neuron-cc, nor on an Inf1 instance.
"""

import contextlib
import importlib
import io
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from yolov4.errors import ModelError
from yolov4.export.saved_model import Body
from yolov4.graph.activations import ACTIVATIONS
from yolov4.graph.body import convolutional, walk
from yolov4.graph.operations import upsample
from yolov4.network.heads import Head
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network, Shape, shapes
from yolov4.network.weights import ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types

PACKAGE = "tensorflow-neuron[cc]==2.10.1.2.12.2.0"  # the last for Inf1
ELSEWHERE = "Dockerfile.inf1 has all of it: TARGET=inf1 docker compose run --rm --build compile"
NO_WORK = frozenset(("Placeholder", "Const", "Identity", "IdentityN", "NoOp", "NeuronOp"))
CONVOLUTIONS = frozenset(("Conv2D", "DepthwiseConv2dNative"))


class Compiled(NamedTuple):
    body: Body  # replaces `graph.body`
    operations: int  # number of the network's operations in the program


def compile_body(
    network: Network, weights: Sequence[ConvWeights], precision: str, batch_size: int = 1
) -> Compiled:
    """Compile the network for NeuronCores.

    `precision`: float16 or bfloat16, for the whole program, its input and its heads. float16 is
    eight times more precise at the same speed; bfloat16 is for values beyond float16's range.
    Raises ModelError if the compiler is missing or the network would not become one program.
    """
    neuron = _compiler()
    dtype = tf.as_dtype(precision)
    pixels = tf.zeros([batch_size, network.height, network.width, network.channels], dtype)
    traced = tf.function(
        lambda image: plain_body(network, weights, image),
        input_signature=[tf.TensorSpec(pixels.shape, dtype)],
        autograph=False,  # 2.10 does not support match and zip(strict=True)
    ).get_concrete_function()
    _refuse_foreign(neuron, traced, pixels)
    with _flags("--dynamic-batch-size"):
        function = neuron.trace(traced, pixels).aws_neuron_function
    left = _only_program(function.graph.get_operations())
    operations = len(_working(traced.graph.get_operations())) - len(left)
    graph_def = function.graph.as_graph_def()
    source, results = function.inputs[0].name, [tensor.name for tensor in function.outputs]
    layers = enumerate(zip(network.layers, shapes(network), strict=True))
    heads = [(index, layer, shape) for index, (layer, shape) in layers if isinstance(layer, Head)]

    def body(_: Network, __: Sequence[ConvWeights], image: Tensor, ___: str) -> list[Tensor]:
        """float32 pixels -> float32 heads, as `graph.body`; the casts run on the host."""
        with tf.name_scope("body"):
            raw = tf.import_graph_def(
                graph_def, {source: tf.cast(image, dtype, "input")}, results, name="neuron"
            )
            outputs = []
            for (index, layer, shape), head in zip(heads, raw, strict=True):
                head.set_shape([None, *shape])
                with tf.name_scope(f"{type(layer).__name__.lower()}_{index}"):
                    outputs.append(tf.identity(tf.cast(head, tf.float32), "head"))
            return outputs

    return Compiled(body, operations)


def plain_body(
    network: Network,
    weights: Sequence[ConvWeights],
    image: Tensor,
    upsample: Callable[[int, Shape, Tensor], Tensor] = upsample,
) -> list[Tensor]:
    """`graph.body` without its CPU optimizations, with heads in the dtype of the image.

    image: float16 or bfloat16 [N, height, width, 3]; the network is computed in this dtype.
    """
    unused = iter(weights)

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        numbers = (part.astype(image.dtype.as_numpy_dtype) for part in next(unused))
        return convolutional(layer, ConvWeights(*numbers), x)

    return walk(network, image, convolve, tf.add, lambda name, x: ACTIVATIONS[name](x), upsample)


def chip_share(version: Path) -> tuple[int, int]:
    """Number of operations in an artefact's program, and in the whole artefact.

    Operations that do no work, such as constants, are not counted. The post: 79 % for YOLOv4.
    """
    about = json.loads((version / "assets.extra" / "model.json").read_text(encoding="utf-8"))
    chip = int(about["chip_operations"])
    saved = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    graph_def = saved.meta_graphs[0].graph_def
    functions = {function.signature.name: function for function in graph_def.library.function}
    host = 0
    unseen = list(graph_def.node)
    while unseen:
        node = unseen.pop()
        if node.op not in NO_WORK:
            host += 1
            for attribute in node.attr.values():  # loop bodies are functions
                called = functions.pop(attribute.func.name, None)
                unseen += called.node_def if called else []
    return chip, chip + host


def _compiler() -> Any:
    try:
        neuron = importlib.import_module("tensorflow.neuron")
    except ImportError as error:
        raise ModelError(
            f"target inf1 needs {PACKAGE}, for Python 3.10 on x86-64 Linux, which is not installed "
            f"in this Python {platform.python_version()} with TensorFlow {tf.__version__}; "
            f"{ELSEWHERE}"
        ) from error
    # The same search path as tensorflow-neuron, which would fail with a TypeError.
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    if not shutil.which("neuron-cc", path=places):
        raise ModelError(f"neuron-cc is not installed: pip install {PACKAGE}; {ELSEWHERE}")
    return neuron


def _refuse_foreign(neuron: Any, traced: Any, pixels: Tensor) -> None:
    """Raise ModelError before minutes of compiling if NeuronCores do not support an operation."""
    with contextlib.redirect_stdout(io.StringIO()):  # it also prints its result
        foreign = set(neuron.analyze_model(traced, pixels)["unsupported_operators"])
    unsupported = [op for op in traced.graph.get_operations() if op.type in foreign]
    if unsupported:
        raise ModelError(
            "the network would be split: NeuronCores do not support these operations: "
            f"{_named(unsupported)}"
        )


def _only_program(operations: Sequence[Any]) -> list[Any]:
    """Return the operations outside of the program: at most padding for the first convolution.

    Raises ModelError unless there is exactly one compiled program, with all convolutions in it.
    """
    programs = [op for op in operations if op.type == "NeuronOp" and op.get_attr("executable")]
    left = _working(operations)
    if not programs:
        raise ModelError(
            "neuron-cc has compiled nothing; its output is above. A large network needs much "
            "memory: AWS recommends a c5.4xlarge, which has 32 GB"
        )
    if len(programs) > 1 or any(op.type in CONVOLUTIONS for op in left):
        raise ModelError(
            f"the network was split: programs: {len(programs)} (several all run on one core), "
            f"operations that remain on the host: {_named(left)}"
        )
    return left


def _working(operations: Sequence[Any]) -> list[Any]:
    return [op for op in operations if op.type not in NO_WORK]


def _named(operations: Sequence[Any]) -> str:
    named = [f"{op.name} ({op.type})" for op in operations]
    return ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")


@contextlib.contextmanager
def _flags(flag: str) -> Iterator[None]:
    """Append a flag to NEURON_CC_FLAGS within the block."""
    before = os.environ.get("NEURON_CC_FLAGS")
    os.environ["NEURON_CC_FLAGS"] = f"{before or ''} {flag}".strip()
    try:
        yield
    finally:
        del os.environ["NEURON_CC_FLAGS"]
        if before is not None:
            os.environ["NEURON_CC_FLAGS"] = before
