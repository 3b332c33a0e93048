"""The network as one program of NeuronCores by TensorFlow 1.15, as in the AWS post.

The graph is written here, in a form TensorFlow 1.15 loads; `tfn.saved_model.compile` of Neuron's
TensorFlow 1.15 compiles the network in it. That runs on Python 3.7, in a process of its own:
`tf1_compile.py`. This is the second way to Inf1: AWS documents that tracing with TensorFlow 2, as
in `yolov4.export.neuron`, supports no convolutions, while its own tests compile them.

Only operations in the scope `PROGRAM` may become the program, so it gets 16 bits and gives 16 bits,
as in the post. Its operations are on the compiler's list (`neuron-cc list-operators --framework
TENSORFLOW`, as published in the SDK's release notes). Not yet run with neuron-cc, nor on Inf1.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from yolov4.errors import ModelError
from yolov4.export.neuron import CONVOLUTIONS, NO_WORK, plain_body
from yolov4.export.saved_model import METADATA, Compile
from yolov4.network.network import Network, Shape
from yolov4.network.weights import ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types

PACKAGE = "tensorflow-neuron[cc]==1.15.5.2.9.3.0"  # the last TensorFlow 1 for Inf1
PYTHON = "NEURON_TF1_PYTHON"  # the variable with the Python that has it
SCRIPT = Path(__file__).with_name("tf1_compile.py")
PROGRAM = "body/network/"


def body_16_bits(
    network: Network, weights: Sequence[ConvWeights], image: Tensor, precision: str
) -> list[Tensor]:
    """float32 pixels -> float32 heads, as `graph.body`; between them is the program."""
    with tf.name_scope("body"):
        image = tf.cast(image, tf.as_dtype(precision), "input")
        with tf.name_scope("network"):
            heads = plain_body(network, weights, image, _upsample)
        return [tf.cast(head, tf.float32, f"head_{index}") for index, head in enumerate(heads)]


def _upsample(stride: int, before: Shape, x: Tensor) -> Tensor:
    # As in the post's network, which AWS compiled this way.
    size = [before.height * stride, before.width * stride]
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size)


def compiler(batch_size: int) -> Compile:
    """Return a function that compiles the SavedModel in a directory and replaces it.

    batch_size: pictures in one run of a NeuronCore. Raises ModelError if the Python with Neuron's
    TensorFlow 1.15 is missing; the function does if the network does not become one program.
    """
    python = _python()

    def compile_saved(directory: Path) -> dict[str, Any]:
        source = directory / "uncompiled"
        source.mkdir()
        for part in list(directory.iterdir()):
            if part != source:
                part.rename(source / part.name)
        result = directory / "compiled"
        command = [python, str(SCRIPT), str(source), str(result), PROGRAM, str(batch_size)]
        if subprocess.run(command).returncode != 0:
            raise ModelError("TensorFlow 1.15 could not compile the network; its output is above")
        operations = _finish(result / "saved_model.pb", source / "saved_model.pb")
        for part in list(result.iterdir()):
            part.rename(directory / part.name)
        result.rmdir()
        shutil.rmtree(source)
        return {"chip_operations": operations, "compiled_by": PACKAGE}

    return compile_saved


def _python() -> str:
    python = os.environ.get(PYTHON, "python3.7")
    try:
        done = subprocess.run(
            [python, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=300
        )
        problem = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem:
        raise ModelError(
            f"target inf1-tf1 needs {PACKAGE} on Python 3.7, and {PYTHON}={python} lacks it: "
            f"{problem}; Dockerfile.inf1 has all of it: TARGET=inf1 NEURON_TENSORFLOW=1.15 docker "
            "compose run --rm --build compile"
        )
    return python


def _finish(compiled: Path, uncompiled: Path) -> int:
    """Check the compiled graph, give it the second signature back, and count the program's work.

    The compiler keeps one signature, and what its outputs need.
    """
    saved = SavedModel.FromString(compiled.read_bytes())
    graph = saved.meta_graphs[0]
    programs = [n for n in graph.graph_def.node if n.op == "NeuronOp" and n.attr["executable"].s]
    left = [n.name for n in graph.graph_def.node if n.op in CONVOLUTIONS]
    if len(programs) != 1 or left:
        named = ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else "")
        raise ModelError(
            f"the network did not become one program: programs: {len(programs)}, convolutions that "
            f"remain on the host: {named or 'none'}; neuron-cc's output is above"
        )
    whole = SavedModel.FromString(uncompiled.read_bytes()).meta_graphs[0]
    graph.graph_def.node.extend(
        node for node in whole.graph_def.node if node.name.startswith(f"{METADATA}/")
    )
    graph.signature_def[METADATA].CopyFrom(whole.signature_def[METADATA])
    compiled.write_bytes(saved.SerializeToString())
    program = GraphDef.FromString(programs[0].attr["graph_def"].s)
    return sum(node.op not in NO_WORK for node in program.node)
