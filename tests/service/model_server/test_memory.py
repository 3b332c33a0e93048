"""The copies of a model's weights that loading makes, and those that it leaves in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from service.model_server.servable import WARMUP_REQUESTS

LAYERS = 64  # each of 1 MiB

# In a process of its own, because blocks freed by other tests would hide what is left.
LOAD = """
import sys
from pathlib import Path
from service.model_server import memory
from service.model_server.flags import Flags, session_config
from service.model_server.servable import Servable

def mib(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) / 1024

before = mib("VmRSS")
with memory.freed_at_once():
    servable = Servable(Path(sys.argv[1]), session_config(Flags().parse([])))
memory.give_back()
print(mib("VmHWM") - before, mib("VmRSS") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and trims glibc's heaps")
def test_loading_makes_and_leaves_few_copies_of_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "model"
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = y = v1.placeholder(tf.float32, [None, 512], "x")
        for seed in range(LAYERS):
            weights = np.random.default_rng(seed).normal(0, 0.04, [512, 512])
            y = tf.nn.relu(tf.matmul(y, tf.constant(weights.astype(np.float32))))
        y = tf.map_fn(tf.abs, y)  # a loop, and so functions
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": y})
    log = PredictionLog()
    inputs = log.predict_log.request.inputs
    inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones([1, 512], np.float32)))
    (path / WARMUP_REQUESTS).parent.mkdir()
    with tf.io.TFRecordWriter(str(path / WARMUP_REQUESTS)) as records:
        records.write(log.SerializeToString())

    command = [sys.executable, "-c", LOAD, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    peak, left = (float(number) / LAYERS for number in done.stdout.split())
    assert peak < 9
    assert left < 5
