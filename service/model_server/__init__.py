"""The embedded model server: a stand-in for tensorflow_model_server, in its own process.

    python -m service.model_server --port=8500 --model_name=voc --model_base_path=/models/voc

It accepts a subset of tensorflow_model_server's flags, serves the same directories and gives the
same gRPC responses, so that either can be replaced by the other. It differs where that suits a
single machine: a port in use is an error; models do not wait for each other; --grpc_max_threads is
256 by default. tests/conformance runs the same cases against both.
"""

import os

# Both are read when tensorflow is imported. TensorFlow enables oneDNN by itself only on CPUs with
# VNNI, bf16 or AMX; on others with AVX2 it makes YOLOv4 about 1.6 times as fast.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
