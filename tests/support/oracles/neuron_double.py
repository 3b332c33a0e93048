"""A test double of tensorflow-neuron: its calls, and its rules of which operations it supports.

`python -m tests.support.oracles.neuron_double ...` is `python -m yolov4 ...` where
`import tensorflow.neuron`
finds
this. Names, arguments, defaults and flags are those of aws-neuron/aws-neuron-tensorflow @3fd6869:
python/_trace.py and utils.py; what becomes a program `neuron_partition` decides. Not modelled: what
the compiler does with it. `neuron-cc` is any executable on the PATH, and only its status counts.

Plain TensorFlow has no operation NeuronOp. Here it is a function of that name in the graph's
library, so that a Session can load and run what was made.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.python.eager.wrap_function import function_from_graph_def
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tests.support.oracles.neuron_partition import SUPPORTED, segments, source

Node = Any  # a NodeDef


class AwsNeuronModel:
    """Of the Keras model that the real one is, what can be used without Keras."""

    def __init__(self, func: Any, on_neuron_ratio: float) -> None:
        self.aws_neuron_function = func
        self.on_neuron_ratio = on_neuron_ratio


def trace(
    func: Any, example_inputs: Any, subgraph_builder_function: Callable[[Node], bool] | None = None
) -> AwsNeuronModel:
    assert tf.executing_eagerly()
    func = _concrete(func, example_inputs)
    frozen = convert_variables_to_constants_v2(func, aggressive_inlining=True)
    graph_def = frozen.graph.as_graph_def(add_shapes=True)
    inputs, outputs = ([t.name for t in tensors] for tensors in (func.inputs, func.outputs))
    pieces = segments(graph_def, subgraph_builder_function)
    real = sum(n.op not in ("Placeholder", "Identity", "NoOp") for n in graph_def.node)
    dynamic = _flags().dynamic_batch_size
    compiler = ["neuron-cc", "compile", "--framework", "XLA"]
    if pieces and all(subprocess.run(compiler).returncode == 0 for _ in pieces):
        graph_def = _fused(graph_def, pieces, outputs, dynamic)
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)
        if node.op == "Placeholder" and dynamic:
            node.attr["shape"].shape.dim[0].size = -1
    function = function_from_graph_def(graph_def, inputs, outputs)
    host = sum(n.op not in ("Placeholder", "IdentityN", "NeuronOp") for n in graph_def.node)
    return AwsNeuronModel(function, 1 - host / real)


def analyze_model(func: Any, example_inputs: Any) -> dict[str, Any]:
    nodes = _concrete(func, example_inputs).graph.as_graph_def().node
    ops = [n.op for n in nodes if n.op not in ("Placeholder", "ReadVariableOp", "Identity", "NoOp")]
    known = [op for op in ops if op in SUPPORTED]
    sys.stdout.write("The following operations are currently supported in tensorflow-neuron ...\n")
    return {
        "percent_supported": 100.0 * len(known) / len(ops),
        "supported_count": len(known),
        "total_count": len(ops),
        "supported_operators": set(known),
        "unsupported_operators": sorted(set(ops) - set(known)),
        "operators": sorted(set(ops)),
        "operator_count": {op: ops.count(op) for op in ops},
    }


def _fused(graph_def: Any, pieces: list[set[str]], outputs: list[str], dynamic: bool) -> Any:
    """The graph with a NeuronOp in the place of every piece."""
    nodes = {node.name: node for node in graph_def.node}
    made = GraphDef()
    renamed: dict[str, str] = {}
    for number, piece in enumerate(pieces):
        inside = [nodes[name] for name in nodes if name in piece]
        outside = [node for node in graph_def.node if node.name not in piece]
        used = {_tensor(i) for node in outside for i in node.input} | set(outputs)
        enter = sorted({_tensor(i) for n in inside for i in n.input if source(i) not in piece})
        leave = sorted(name for name in used if source(name) in piece)
        node = made.node.add(name=f"neuron_op_{number}", op="NeuronOp", input=enter)
        program = GraphDef()
        for index, name in enumerate(enter):
            at = program.node.add(name=f"input{index}", op="Placeholder")
            at.attr["dtype"].type = _dtype(nodes[source(name)])
            at.attr["shape"].shape.CopyFrom(
                nodes[source(name)].attr["_output_shapes"].list.shape[0]
            )
            if not dynamic:  # then a program accepts only the batch size it was compiled for
                check = program.node.add(name=f"fixed{index}", op="EnsureShape", input=[at.name])
                check.attr["T"].type = at.attr["dtype"].type
                check.attr["shape"].CopyFrom(at.attr["shape"])
        into = {name: f"{'input' if dynamic else 'fixed'}{i}" for i, name in enumerate(enter)}
        for inner in inside:
            copy = program.node.add()
            copy.CopyFrom(inner)
            copy.attr.pop("_output_shapes", None)
            copy.input[:] = [into.get(_tensor(i), i) for i in inner.input]
        sources = [f"input{i}:0" for i in range(len(enter))]
        _call(node, made.library, function_from_graph_def(program, sources, leave))
        for inner in program.node:
            if inner.op == "Const":
                inner.attr.pop("value")
        node.attr["graph_def"].s = program.SerializeToString()
        node.attr["executable"].s = b"NEFF"
        node.attr["input_batch_axis"].list.i.append(0 if dynamic else -1)
        for index, name in enumerate(leave):
            if name in outputs:
                same = made.node.add(name=source(name), op="IdentityN")
                same.input.append(f"{node.name}:{index}")
                same.attr["T"].list.type.append(_dtype(nodes[source(name)]))
            else:
                renamed[name] = f"{node.name}:{index}"
    inside_any = set().union(*pieces)
    made.node.extend(node for node in graph_def.node if node.name not in inside_any)
    for node in made.node:
        node.input[:] = [renamed.get(_tensor(i), i) for i in node.input]
    return made


def _call(node: Node, library: Any, program: Any) -> None:
    """Let a NeuronOp call a program; all in one graph take and give the same number of tensors."""
    with tf.Graph().as_default() as graph:
        program(*(tf.compat.v1.placeholder(t.dtype, t.shape) for t in program.inputs))
    made = graph.as_graph_def()
    call = next(inner for inner in made.node if inner.op.endswith("PartitionedCall"))
    library.function.extend(made.library.function)
    node.attr["program"].CopyFrom(call.attr["f"])
    if any(function.signature.name == "NeuronOp" for function in library.function):
        return
    op = FunctionDef()
    op.signature.name = "NeuronOp"
    op.signature.is_stateful = True
    kinds = {"program": "func", "graph_def": "string", "executable": "string"}
    for name, kind in {**kinds, "input_batch_axis": "list(int)"}.items():
        op.signature.attr.add(name=name, type=kind)
    inner = op.node_def.add(name="call", op="PartitionedCall")
    inner.attr["f"].placeholder = "program"
    inner.attr["Tin"].CopyFrom(call.attr["Tin"])
    inner.attr["Tout"].CopyFrom(call.attr["Tout"])
    for index, kind in enumerate(call.attr["Tin"].list.type):
        op.signature.input_arg.add(name=f"in{index}", type=kind)
        inner.input.append(f"in{index}")
    for index, kind in enumerate(call.attr["Tout"].list.type):
        op.signature.output_arg.add(name=f"out{index}", type=kind)
        op.ret[f"out{index}"] = f"call:output:{index}"
    library.function.append(op)


def _concrete(func: Any, example_inputs: Any) -> Any:
    if hasattr(func, "structured_outputs"):  # a ConcreteFunction
        return func
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    return tf.function(input_signature=signature)(func).get_concrete_function()


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workdir", dest="dump_prefix")
    parser.add_argument("--verbose", choices=["debug", "info", "warning", "error", "critical"])
    parser.add_argument("--dynamic-batch-size", action="store_true")
    parser.add_argument("--fp32-cast", default="matmult-fp16")
    parser.add_argument("--neuroncore-pipeline-cores")
    return parser.parse_known_args(shlex.split(os.environ.get("NEURON_CC_FLAGS", "")))[0]


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _dtype(node: Node) -> int:
    return int(node.attr["dtype" if "dtype" in node.attr else "T"].type)


def main() -> int:
    sys.modules["tensorflow.neuron"] = sys.modules[__name__]
    from yolov4.__main__ import main as yolov4

    return yolov4()


if __name__ == "__main__":
    sys.exit(main())
