"""--batching_parameters_file: TensorFlow Serving's BatchingParameters, checked.

The message is not in the package `tensorflow-serving-api`, so its fields are named here. Numbers,
defaults and texts as tensorflow/serving `servables/tensorflow/{session_bundle_config.proto,
bundle_factory_util.cc}` and tensorflow `core/kernels/batching_util/shared_batch_scheduler.h`.
"""

import os
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    wrappers_pb2,
)

FIELDS = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}
UNSUPPORTED = (
    "enable_large_batch_splitting",
    "max_execution_batch_size",
    "pad_variable_length_inputs",
)


@dataclass(frozen=True)
class Parameters:
    """Batch sizes are rows; `allowed_batch_sizes`: what a batch is padded to, none for any size."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = len(os.sched_getaffinity(0))
    allowed_batch_sizes: tuple[int, ...] = ()

    def padded(self, rows: int) -> int:
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def empty_message() -> Any:
    """A BatchingParameters with nothing set."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    add = file.message_type.add(name="BatchingParameters").field.add
    for name, (number, wrapper) in FIELDS.items():
        add(
            name=name,
            number=number,
            type=kinds.TYPE_MESSAGE,
            type_name=f".google.protobuf.{wrapper}",
            label=kinds.LABEL_OPTIONAL,
        )
    add(
        name="allowed_batch_sizes",
        number=6,
        type=kinds.TYPE_INT64,
        label=kinds.LABEL_REPEATED,
    )
    add(
        name="pad_variable_length_inputs",
        number=7,
        type=kinds.TYPE_BOOL,
        label=kinds.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    return message_factory.GetMessageClass(descriptor)()


def checked(message: Any) -> Parameters:
    """The Parameters a BatchingParameters means; refuses what TensorFlow Serving refuses."""
    given = {field.name: value for field, value in message.ListFields()}
    for name in UNSUPPORTED:
        if getattr(given.get(name), "value", given.get(name)):
            raise _invalid(f"The embedded model server does not support {name}; leave it out.")
    numbers = {
        name: value.value
        for name, value in given.items()
        if name in FIELDS and name in Parameters.__dataclass_fields__
    }
    found = Parameters(**numbers, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(found, name) < 1:
            raise _invalid(f"{name} must be positive; was {getattr(found, name)}")
    if found.batch_timeout_micros < 0:
        raise _invalid(
            f"batch_timeout_micros must be non-negative; was {found.batch_timeout_micros}"
        )
    sizes = found.allowed_batch_sizes
    if sizes and sizes[-1] != found.max_batch_size:
        raise _invalid(
            "Last entry in allowed_batch_sizes must match max_batch_size; last "
            f"entry was {sizes[-1]}; expected {found.max_batch_size}"
        )
    if list(sizes) != sorted(set(sizes)):
        raise _invalid("The entries of allowed_batch_sizes must be in increasing order.")
    return found


def _invalid(text: str) -> Any:
    return tf.errors.InvalidArgumentError(None, None, text)
