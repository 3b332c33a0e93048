"""The double of tensorflow-neuron: what it knows, and where it splits a graph."""

import json
from pathlib import Path

from tests.yolov4.export.test_tf210 import old_python

# Both networks of the paper with weights of zero: what operations they become, and how many pieces.
PIECES = """
import json
import numpy as np, tensorflow as tf
from tests.support.oracles.neuron_partition import segments
from yolov4.network.architecture import BUILT_IN
from yolov4.export.neuron import plain_body
from yolov4.network.weights import ConvWeights, conv_shapes
found = {}
for name, build in BUILT_IN.items():
    network = build(classes=80).resized(64, 64)
    zeros = [ConvWeights(np.zeros(s.kernel, np.float32), np.zeros(s.kernel[3], np.float32))
             for s in conv_shapes(network)]
    image = tf.TensorSpec([1, 64, 64, 3], tf.float16)
    traced = tf.function(lambda image: plain_body(network, zeros, image), autograph=False)
    graph = traced.get_concrete_function(image).graph.as_graph_def(add_shapes=True)
    found[name] = sorted({n.op for n in graph.node}), len(segments(graph))
print(json.dumps(found))
"""


def test_the_papers_networks_are_one_piece_of_known_operations() -> None:
    known = old_python(
        "-c", "from tests.support.oracles.neuron_partition import SUPPORTED; print(*SUPPORTED)"
    ).split()
    for operations, pieces in json.loads(old_python("-c", PIECES)).values():
        assert {"Conv2D", "LeakyRelu", "Tile"} <= set(operations) <= {*known, "Placeholder"}
        assert pieces == 1


def test_the_double_knows_what_tensorflow_neuron_knows(data: Path) -> None:
    known = old_python(
        "-c", "from tests.support.oracles.neuron_partition import SUPPORTED; print(*SUPPORTED)"
    ).split()
    assert sorted(known) == sorted((data / "neuron-tf2-supported-ops.txt").read_text().split())


# Three convolutions, the middle one followed by something no NeuronCore knows, with and without a
# way around it: the rules of the double itself.
RULES = """
import tensorflow as tf
from tests.support.oracles.neuron_partition import segments
def pieces(func):
    made = tf.function(func, autograph=False).get_concrete_function(tf.TensorSpec([1, 8, 8, 4]))
    return sorted(map(len, segments(made.graph.as_graph_def(add_shapes=True))))
def conv(x): return tf.nn.conv2d(x, tf.ones([1, 1, 4, 4]), 1, "SAME")
many = lambda x, n: x if n == 0 else many(tf.nn.relu(x), n - 1)
print(pieces(lambda x: conv(conv(x))))
print(pieces(lambda x: conv(tf.floor(conv(x)))))
print(pieces(lambda x: conv(tf.floor(conv(x)) + conv(x))))
print(pieces(lambda x: tf.nn.relu(tf.floor(conv(x)))))
print(pieces(lambda x: many(conv(tf.floor(conv(x))), 40)))
"""


def test_the_double_splits_where_segmenting_does() -> None:
    one, cut, around, cheap, small = map(json.loads, old_python("-c", RULES).splitlines())
    assert len(one) == 1
    assert len(cut) == 2
    assert len(around) == 2  # joining both would make a circle through the host
    assert len(cheap) == 1  # a piece without a convolution is not worth it
    assert len(small) == 1  # nor is one that is far smaller than another
    assert small[0] > 40
