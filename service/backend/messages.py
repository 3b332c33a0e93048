"""TensorFlow Serving's protobuf message classes, imported without loading the TensorFlow runtime.

`tensorflow_serving.apis` imports `tensorflow.core.framework.*_pb2`, which normally runs
`tensorflow/__init__.py`: 2 s and 500 MB for a few message classes. During the import below,
`tensorflow` is an empty package that only has a path. It is removed afterwards, so that other code
in the same process (the tests) can import the real one.
"""

import importlib.util
import sys
from types import ModuleType


def _bare_tensorflow() -> ModuleType:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("tensorflow is not installed: pip install -r requirements/run.txt")
    bare = ModuleType("tensorflow")
    bare.__path__ = list(spec.submodule_search_locations)
    return bare


_absent = "tensorflow" not in sys.modules
if _absent:
    sys.modules["tensorflow"] = _bare_tensorflow()

from tensorflow.core.framework import tensor_pb2, types_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

if _absent:
    del sys.modules["tensorflow"]

DT_FLOAT = types_pb2.DT_FLOAT
DT_INT32 = types_pb2.DT_INT32
DT_STRING = types_pb2.DT_STRING
GetModelStatusRequest = get_model_status_pb2.GetModelStatusRequest
GetModelStatusResponse = get_model_status_pb2.GetModelStatusResponse
ModelSpec = model_pb2.ModelSpec
ModelVersionStatus = get_model_status_pb2.ModelVersionStatus
PredictRequest = predict_pb2.PredictRequest
PredictResponse = predict_pb2.PredictResponse
TensorProto = tensor_pb2.TensorProto
