"""An OpenTelemetry collector: OTLP's own gRPC service, on a real socket, that keeps the spans."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Attributes = dict[str, Any]
INTERNAL = Span.SPAN_KIND_INTERNAL


class Collector(rpc.TraceServiceServicer):
    """`hangs`: takes calls and never answers them."""

    def __init__(self, hangs: bool = False) -> None:
        self.spans: list[Span] = []
        self.resource: Attributes = {}
        self.calls = 0
        self._answer = threading.Event()
        if not hangs:
            self._answer.set()

    def __enter__(self) -> "Collector":
        self._server = grpc.server(ThreadPoolExecutor(4))
        rpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._answer.set()
        self._server.stop(None).wait()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls += 1
        self._answer.wait()
        for resource in request.resource_spans:
            self.resource = attributes(resource.resource)
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return messages.ExportTraceServiceResponse()

    def wait(self, count: int, parts: bool = False) -> list[Span]:
        """The spans so far, earliest first, as soon as there are `count`. `parts`: also those of
        parts of a request, which depend on how long they take."""
        deadline = time.monotonic() + 5
        while len(spans := [s for s in self.spans if parts or s.kind != INTERNAL]) < count:
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.02)
        return sorted(spans, key=lambda span: span.start_time_unix_nano)


def attributes(owner: Any) -> Attributes:
    """Of a span or a resource."""
    values = ((a.key, a.value) for a in owner.attributes)
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values}
