"""The network as XLA's operations, which Neuron's compiler takes from TensorFlow 2.10."""

import json

import pytest

from tests.yolov4.export.test_tf210 import old_python

# Of the SDK's release notes, neuron-cc-ops-xla.rst, as HLO writes them: those that occur here, and
# the arithmetic around them.
KNOWN = {
    *("abs", "add", "broadcast", "ceil", "clamp", "compare", "concatenate", "constant", "convert"),
    *("divide", "dot", "exponential", "floor", "get-tuple-element", "iota", "log", "maximum"),
    *("minimum", "multiply", "negate", "pad", "parameter", "power", "reduce", "reshape", "rsqrt"),
    *("select", "sign", "slice", "sqrt", "subtract", "tanh", "transpose", "tuple"),
}
# Not on AWS's list, though the tests of tensorflow-neuron compile both (trace_test.py at @3fd6869).
UNLISTED = {"convolution", "reduce-window"}

# YOLOv4 in full, at 608 pixels, with random weights: how often each operation occurs.
COUNT = """
import collections, json, re
import numpy as np, tensorflow as tf
from yolov4.export.neuron import plain_body
from yolov4.network.architecture import BUILT_IN
from yolov4.network.weights import ConvWeights, conv_shapes
network = BUILT_IN["yolov4"](classes=80).resized(608, 608)
random = np.random.default_rng(0)
weights = [ConvWeights(random.standard_normal(s.kernel, np.float32) / 20,
                       np.zeros(s.kernel[3], np.float32)) for s in conv_shapes(network)]
image = tf.zeros([1, 608, 608, 3], tf.float16)
function = tf.function(lambda image: plain_body(network, weights, image), jit_compile=True,
                       autograph=False, input_signature=[tf.TensorSpec(image.shape, image.dtype)])
hlo = function.experimental_get_compiler_ir(image)(stage="hlo")
found = re.findall(r"^ +(?:ROOT )?\\S+ = (?:\\([^=]*\\)|\\S+) ([a-z][a-z0-9-]*)\\(", hlo, re.M)
assert len(found) == len(re.findall("^ .* = ", hlo, re.M))
graph = function.get_concrete_function().graph
softplus = sum(op.type == "Softplus" for op in graph.get_operations())
print(json.dumps([collections.Counter(found), softplus]))
"""


@pytest.mark.slow
def test_yolov4_has_no_operation_beyond_awss_list() -> None:
    found, softplus = json.loads(old_python("-c", COUNT))
    assert found["convolution"] == 110
    assert found["reduce-window"] == 3
    # tensorflow-neuron replaces Softplus by a call of its own (custom_call.py), and nothing else
    # here is a logarithm.
    assert found.pop("log-plus-one") == softplus == 72
    assert set(found) - KNOWN == UNLISTED
