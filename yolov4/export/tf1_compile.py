"""Compile a SavedModel with Neuron's TensorFlow 1.15. This file alone runs on Python 3.7.

    python3.7 tf1_compile.py SOURCE DESTINATION PROGRAM BATCH_SIZE

PROGRAM is the scope of the operations that may become the chip's program. Arguments of
`tfn.saved_model.compile` as in aws-neuron/aws-neuron-tensorflow @3fd6869, python/saved_model.py and
graph_util.py.
"""

from __future__ import annotations

import sys

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


def main(arguments: list[str]) -> None:
    import tensorflow.neuron as tfn

    if arguments == ["--check"]:
        return
    source, destination, program, batch_size = arguments
    with open(source + "/saved_model.pb", "rb") as file:
        nodes = SavedModel.FromString(file.read()).meta_graphs[0].graph_def.node
    inside = [node for node in nodes if node.name.startswith(program)]
    tfn.saved_model.compile(
        source,
        destination,
        # The post listed the casts and what is after them. Everything outside of the network stays
        # on the host, and the heads leave the chip in 16 bits.
        no_fuse_ops=[node.name for node in nodes if not node.name.startswith(program)],
        # Smaller pieces stay on the host: a second program would end the use of all cores.
        minimum_segment_size=sum(node.op != "Const" for node in inside) // 2,
        batch_size=int(batch_size),
        # A request of N pictures becomes N / batch_size runs, on all cores.
        dynamic_batch_size=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
