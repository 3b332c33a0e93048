"""The embedded model server: a stand-in for tensorflow_model_server, in a process of its own.

    python -m service.model_server --port=8500 --model_name=voc --model_base_path=/models/voc

It takes that program's flags (the subset below), serves the same directories and gives the same
answers over gRPC, so that the real one can take its place with nothing else changed. Unlike the
real one it listens before the first model is loaded, and on SIGTERM finishes what is under way.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when tensorflow is imported
