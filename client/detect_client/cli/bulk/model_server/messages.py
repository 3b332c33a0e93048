"""The part of TensorFlow Serving's protobuf messages that a detector needs, without TensorFlow.

`tensorflow-serving-api` requires TensorFlow, 2 GB, for these few fields. Sources:
tensorflow_serving/apis/{model,predict,get_model_status}.proto,
tensorflow/core/framework/{tensor,tensor_shape}.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

DT_FLOAT, DT_INT32, DT_STRING = 1, 3, 7  # types.proto
AVAILABLE = 30  # ModelVersionStatus.State

# Message -> field -> number and type; * is repeated. On the wire a map is a repeated message of key
# and value, an enumeration an int32.
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Int64Value": {"value": (1, "int64")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Int64Value"),
        "signature_name": (3, "string"),
    },
    "Dim": {"size": (1, "int64")},
    "TensorShape": {"dim": (2, "*Dim")},
    "Tensor": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShape"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "*float"),
        "int_val": (7, "*int32"),
        "string_val": (8, "*bytes"),
    },
    "Entry": {"key": (1, "string"), "value": (2, "Tensor")},
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"),
        "inputs": (2, "*Entry"),
        "output_filter": (3, "*string"),
    },
    "PredictResponse": {"outputs": (1, "*Entry"), "model_spec": (2, "ModelSpec")},
    "GetModelStatusRequest": {"model_spec": (1, "ModelSpec")},
    "ModelVersionStatus": {"version": (1, "int64"), "state": (2, "int32")},
    "GetModelStatusResponse": {"model_version_status": (1, "*ModelVersionStatus")},
}


def _classes() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            label = field.LABEL_REPEATED if kind[0] == "*" else field.LABEL_OPTIONAL
            added = message.field.add(name=field_name, number=number, label=label)
            kind = kind.lstrip("*")
            if kind in SCHEMA:
                added.type, added.type_name = field.TYPE_MESSAGE, f".{kind}"
            else:
                added.type = field.Type.Value(f"TYPE_{kind.upper()}")
    # A pool of its own: in the default one, the real messages of the same process would clash.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(name)) for name in SCHEMA}


_made = _classes()
ModelSpec = _made["ModelSpec"]
Tensor = _made["Tensor"]
PredictRequest = _made["PredictRequest"]
PredictResponse = _made["PredictResponse"]
GetModelStatusRequest = _made["GetModelStatusRequest"]
GetModelStatusResponse = _made["GetModelStatusResponse"]
