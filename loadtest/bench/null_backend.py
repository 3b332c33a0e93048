"""A model server that does no work: `Predict` returns the same prepared bytes for any picture.

    python -m loadtest.bench.null_backend [--port 8500]

In front of it, only the gateway is measured. The bytes are what TensorFlow Serving returns for one
picture: 100 rows in typed fields, eight of which score above 0.25. They are encoded here field by
field, so that neither TensorFlow nor its message classes are needed.
"""

import argparse
import asyncio
import signal
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import uvloop

ROWS = 100
VERSION = 1
AVAILABLE = 30  # ModelVersionStatus.State
FLOAT, INT32, STRING = 1, 3, 7  # tensorflow.DataType
FLOAT_VAL, INT_VAL, STRING_VAL = 5, 7, 8  # TensorProto's fields

# label, class index, score, x_min, y_min, x_max, y_max: pixels of a picture of 768 x 576
DETECTIONS = [
    ("dog", 16, 0.981, 128.25, 222.5, 314.75, 541.125),
    ("bicycle", 1, 0.962, 118.5, 126.0, 567.25, 425.5),
    ("truck", 7, 0.917, 466.75, 76.25, 692.0, 172.5),
    ("person", 0, 0.843, 20.5, 30.25, 90.75, 310.0),
    ("person", 0, 0.712, 640.0, 250.5, 760.25, 570.5),
    ("potted plant", 58, 0.544, 682.5, 110.25, 716.0, 155.75),
    ("car", 2, 0.391, 466.0, 75.5, 690.5, 171.25),
    ("backpack", 24, 0.277, 50.0, 90.5, 84.25, 140.0),
]
TAIL = [
    ("person", 0, 0.24 * 0.95**i, 7.0 * i, 5.0 * i, 7.0 * i + 40, 5.0 * i + 60) for i in range(92)
]


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def whole(field: int, number: int) -> bytes:
    """A number as protobuf writes it."""
    return varint(field << 3) + varint(number)


def part(field: int, content: bytes) -> bytes:
    """A string, a message or packed numbers."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def tensor(dtype: int, shape: list[int], values: bytes) -> bytes:
    dims = b"".join(part(2, whole(1, size)) for size in shape)
    return whole(1, dtype) + part(2, dims) + values


def answer() -> bytes:
    """PredictResponse of contract 2 for one picture."""
    rows = DETECTIONS + TAIL
    floats = [value for row in rows for value in row[3:]]
    boxes = part(FLOAT_VAL, struct.pack(f"<{len(floats)}f", *floats))
    scores = part(FLOAT_VAL, struct.pack(f"<{ROWS}f", *(row[2] for row in rows)))
    classes = part(INT_VAL, b"".join(varint(row[1]) for row in rows))
    labels = b"".join(part(STRING_VAL, row[0].encode()) for row in rows)
    outputs = {
        "boxes": tensor(FLOAT, [1, ROWS, 4], boxes),
        "scores": tensor(FLOAT, [1, ROWS], scores),
        "classes": tensor(INT32, [1, ROWS], classes),
        "labels": tensor(STRING, [1, ROWS], labels),
        "num_detections": tensor(INT32, [1], part(INT_VAL, varint(ROWS))),
    }
    spec = part(1, b"yolov4") + part(2, whole(1, VERSION)) + part(3, b"serving_default")
    entries = (part(1, part(1, k.encode()) + part(2, v)) for k, v in outputs.items())
    return b"".join(entries) + part(2, spec)


def status() -> bytes:
    """GetModelStatusResponse: the version is AVAILABLE."""
    return part(1, whole(1, VERSION) + whole(2, AVAILABLE) + part(3, b""))


class Null(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Both calls, each with prepared bytes; the request is not decoded."""

    def __init__(self) -> None:
        self._handlers = {
            "/tensorflow.serving.PredictionService/Predict": _always(answer()),
            "/tensorflow.serving.ModelService/GetModelStatus": _always(status()),
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)


def _always(prepared: bytes) -> Any:
    async def call(request: bytes, context: Any) -> bytes:
        return prepared

    handler: Callable[[bytes, Any], Awaitable[bytes]] = call
    return grpc.unary_unary_rpc_method_handler(handler)


async def serve(port: int) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Null(),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(bound, flush=True)  # for the process that passed --port 0
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop(None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--port", type=int, default=8500, help="0 chooses a free port and prints it"
    )
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
