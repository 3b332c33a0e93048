"""A test double of tensorflow-neuron 1.15's `saved_model.compile`, on the real TensorFlow 1.15.

`python3.7 neuron_tf1_double.py SCRIPT ...` runs a script for which `import tensorflow.neuron` gives
this. Names, arguments and defaults are those of aws-neuron/aws-neuron-tensorflow @3fd6869,
python/saved_model.py and graph_util.py; the operations are those of the SDK's release notes
(neuron-cc-ops-tensorflow.rst). Joining is simpler than AWS's: supported operations that share an
edge are one piece. Not modelled: the compiler; `graph_def` has no large constants in truth.
"""

from __future__ import annotations

import os
import runpy
import sys
import types
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

OPERATIONS = """
    Abs Add AddV2 All AvgPool BatchMatMul BatchMatMulV2 BiasAdd Cast Ceil Concat ConcatV2 Const
    Conv2D DepthwiseConv2dNative Equal Erf Exp ExpandDims Fill Floor FloorDiv FusedBatchNorm
    FusedBatchNormV3 Greater GreaterEqual Identity LeakyRelu Less LessEqual LogicalAnd
    LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NotEqual Pack Pad
    PadV2 Pow Prod RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor
    Round Rsqrt Select Sigmoid Sign Slice Softmax Softplus Split SplitV Sqrt Square
    SquaredDifference Squeeze StridedSlice Sub Sum Tanh Tile Transpose Unpack ZerosLike
"""
SUPPORTED = frozenset(OPERATIONS.split()) - set(os.environ.get("DOUBLE_WITHOUT", "").split())


def compile(
    model_dir: str,
    new_model_dir: str,
    batch_size: int = 1,
    model_shape_feed_dict: Any = None,
    model_feed_dict: Any = None,
    tags: Any = None,
    signature_def_key: Any = None,
    strip_default_attrs: bool = False,
    config_proto: Any = None,
    constant_size_to_exclude: int = 1024,
    convert_constants_to_variables: bool = False,
    compiler_workdir: Any = None,
    **kwargs: Any,
) -> dict[str, float]:
    if os.path.exists(new_model_dir):
        raise AssertionError("Export directory already exists. Please specify a different one")
    return _compile(model_dir, new_model_dir, batch_size, **kwargs)


def _compile(
    model_dir: str,
    new_model_dir: str,
    batch_size: int,
    dynamic_batch_size: bool = False,
    supported_op_types: Any = None,
    no_fuse_ops: Any = None,
    force_fuse_ops: Any = None,
    minimum_segment_size: Any = None,
    compiler_args: Any = None,
    compiler_timeout: Any = None,
    compiler_recovery: bool = True,
    compiler_verbose: Any = None,
    amp_pass: bool = False,
) -> dict[str, float]:
    with tf.Session(graph=tf.Graph()) as session:
        meta_graph = tf.saved_model.loader.load(session, ["serve"], model_dir)
        signature = meta_graph.signature_def["serving_default"]
        results = [info.name.split(":")[0] for info in signature.outputs.values()]
        graph_def = session.graph.as_graph_def(add_shapes=True)
        graph_def = tf.graph_util.convert_variables_to_constants(session, graph_def, results)
    excluded = set(no_fuse_ops or ())
    excluded.update(n.name for n in graph_def.node if any(i.startswith("^") for i in n.input))
    inside = [n for n in graph_def.node if n.op in SUPPORTED and n.name not in excluded]
    pieces = [p for p in _joined(inside) if len(p) >= (minimum_segment_size or 2)]
    compiled = _fused(graph_def, pieces, dynamic_batch_size)
    saved = SavedModel(saved_model_schema_version=1)
    made = saved.meta_graphs.add(graph_def=compiled)
    made.meta_info_def.tags.append("serve")
    made.signature_def["serving_default"].CopyFrom(signature)
    os.makedirs(os.path.join(new_model_dir, "variables"))
    with open(os.path.join(new_model_dir, "saved_model.pb"), "wb") as file:
        file.write(saved.SerializeToString())
    return {"OnNeuronRatio": sum(map(len, pieces)) / len(graph_def.node)}


def _joined(nodes: list[Any]) -> list[set[str]]:
    """Pieces of connected operations, as sets of names."""
    piece = {node.name: {node.name} for node in nodes}
    for node in nodes:
        for name in (i.split(":")[0] for i in node.input):
            if name in piece and piece[name] is not piece[node.name]:
                piece[node.name] |= piece[name]
                for other in piece[name]:
                    piece[other] = piece[node.name]
    return list({id(p): p for p in piece.values()}.values())


def _fused(graph_def: Any, pieces: list[set[str]], dynamic: bool) -> Any:
    made = GraphDef(versions=graph_def.versions)
    nodes = {node.name: node for node in graph_def.node}
    renamed: dict[str, str] = {}
    for number, piece in enumerate(pieces):
        inside = [node for node in graph_def.node if node.name in piece]
        outside = [node for node in graph_def.node if node.name not in piece]
        enter = sorted({i for n in inside for i in n.input if i.split(":")[0] not in piece})
        leave = sorted({i for n in outside for i in n.input if i.split(":")[0] in piece})
        program = GraphDef(versions=graph_def.versions)
        for name in enter:
            at = program.node.add(name=name, op="Placeholder")
            at.attr["dtype"].type = _dtype(nodes[name])
        program.node.extend(inside)
        node = made.node.add(name=f"body/network/neuron_op_{number}", op="NeuronOp", input=enter)
        node.attr["graph_def"].s = program.SerializeToString()
        node.attr["executable"].s = b"NEFF"
        node.attr["input_names"].list.s.extend(name.encode() + b":0" for name in enter)
        node.attr["output_names"].list.s.extend(name.encode() + b":0" for name in leave)
        node.attr["input_dtypes"].list.type.extend(_dtype(nodes[name]) for name in enter)
        node.attr["output_dtypes"].list.type.extend(_dtype(nodes[name]) for name in leave)
        axis = 0 if dynamic else -1
        node.attr["input_batch_axis"].list.i.extend([axis] * len(enter))
        node.attr["output_batch_axis"].list.i.extend([axis] * len(leave))
        node.attr["model_config"].list.i.extend([1, 1, 64 if len(pieces) == 1 else 1, 10])
        renamed.update((n, f"{node.name}:{i}" if i else node.name) for i, n in enumerate(leave))
    inside_any = set().union(*pieces)
    made.node.extend(node for node in graph_def.node if node.name not in inside_any)
    for node in made.node:
        node.input[:] = [renamed.get(i, i) for i in node.input]
        node.attr.pop("_output_shapes", None)
    return made


def _dtype(node: Any) -> int:
    return int(node.attr["DstT" if node.op == "Cast" else "T"].type)


if __name__ == "__main__":
    neuron: Any = types.ModuleType("tensorflow.neuron")
    neuron.saved_model = types.SimpleNamespace(compile=compile)
    tf.neuron = sys.modules["tensorflow.neuron"] = neuron
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
