"""Traces: a span for each request, for its longer parts and for each call to a model server.

Off until `start`. OpenTelemetry's API and SDK make, sample and export the spans; here is what this
service records. Each request has a task of its own, so its span stays current until the task ends.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from .. import logs
from ..lifecycle import PROBE_PATHS
from ..logs.settings import SettingsError

if TYPE_CHECKING:
    from .export import Export

RawHeaders = Sequence[tuple[bytes, bytes]]
Metadata = tuple[tuple[str, str], ...] | None  # of a gRPC call

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}
)
SHORTEST_PART_S = 0.001  # shorter parts of a request get no span
MAX_TEXT = 256  # characters of what the client sends

_tracer: Tracer | None = None
_fields: frozenset[bytes] = frozenset()  # headers that carry a caller's trace


def start() -> "Export | None":
    """Trace requests from now on; `stop` the result at the end. None if one of OpenTelemetry's
    variables turns traces off. Raises SettingsError."""
    global _tracer, _fields
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter == "none":
        return None
    if exporter != "otlp":
        raise SettingsError(f"OTEL_TRACES_EXPORTER={exporter!r}: must be 'otlp' or 'none'")
    try:
        from .export import Export
    except ImportError as error:
        raise SettingsError(
            f"DETECT_TRACING=on needs OpenTelemetry's SDK ({error}):"
            " pip install --require-hashes -r requirements/otel.txt"
        ) from error
    export = Export()
    _tracer = export.tracer()
    _fields = frozenset(name.lower().encode() for name in propagate.get_global_textmap().fields)
    return export


class _HeaderGetter(Getter[RawHeaders]):
    """ASGI's headers, whose names are in lower case."""

    def get(self, carrier: RawHeaders, key: str) -> list[str] | None:
        name = key.lower().encode()
        return [value.decode("latin-1") for n, value in carrier if n == name] or None

    def keys(self, carrier: RawHeaders) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_HEADER_GETTER = _HeaderGetter()


def start_request(scope: Mapping[str, Any], request_id: str) -> Span | None:
    """The span of the request of an ASGI scope, current for the rest of this task and named in its
    log lines. None if it is not traced: a probe, or not sampled and without a caller's trace."""
    if _tracer is None:
        return None
    # Into an empty context: the task of a connection's previous request may have started this one.
    headers, parent = scope["headers"], Context()
    if any(name in _fields for name, _ in headers):
        parent = propagate.extract(headers, parent, _HEADER_GETTER)
    known = scope["method"] in METHODS
    span = None
    if scope["path"] not in PROBE_PATHS:
        span = _tracer.start_span(scope["method"] if known else "HTTP", parent, SpanKind.SERVER)
        if not (span.is_recording() or trace.get_current_span(parent).get_span_context().is_valid):
            span = None
    if span is None:
        if logs.trace_context.get():
            _set_current(None)
        return None
    if span.is_recording():
        # Without the query, which in some dialects carries an API key.
        attributes = {
            "http.request.method": scope["method"] if known else "_OTHER",
            "url.scheme": scope["scheme"],
            "url.path": scope["path"][:MAX_TEXT],
            "network.protocol.version": scope["http_version"],
            "detect.request_id": request_id,
        }
        if scope.get("client"):
            attributes["client.address"] = scope["client"][0]
        if agent := _HEADER_GETTER.get(headers, "user-agent"):
            attributes["user_agent.original"] = agent[0][:MAX_TEXT]
        span.set_attributes(attributes)
    _set_current(span)
    return span


def _set_current(span: Span | None) -> None:
    # Without the caller's baggage: up to 8 KB that model servers might refuse.
    context.attach(trace.set_span_in_context(span, Context()) if span else Context())
    ids = span.get_span_context() if span else None
    logs.trace_context.set(
        {
            "trace_id": f"{ids.trace_id:032x}",
            "span_id": f"{ids.span_id:016x}",
            "trace_flags": f"{ids.trace_flags:02x}",
        }
        if ids
        else {}
    )


def end_request(span: Span, scope: Mapping[str, Any], status: int, problem: str | None) -> None:
    """`problem`: the kind of problem that was answered, if any."""
    if not span.is_recording():
        return
    span.set_attribute("http.response.status_code", status)
    if route := getattr(scope.get("route"), "path", None):
        span.set_attribute("http.route", route)
        span.update_name(f"{scope['method']} {route}")
    if status >= 500:  # of a server, 4xx are the client's errors
        kind = sys.exc_info()[0]
        span.set_attribute("error.type", kind.__name__ if kind else problem or str(status))
        span.set_status(StatusCode.ERROR)
    span.end()


def record_part(name: str, started: float, ended: float) -> None:
    """A span for a part of the current request, between two `time.perf_counter()`."""
    if _tracer is None or ended - started < SHORTEST_PART_S or not _is_sampled():
        return
    offset_s = time.time() - time.perf_counter()
    span = _tracer.start_span(name, start_time=int((started + offset_s) * 1e9))
    span.end(int((ended + offset_s) * 1e9))


class Call:
    """The span of one gRPC call, ended with the block; `metadata` continues the trace there.

    `method`: `package.Service/Method`. Without a traced request: no span, and `metadata` is None.
    """

    __slots__ = ("_span", "metadata")

    def __init__(self, method: str, target: str, attributes: Mapping[str, str | int]) -> None:
        self._span: Span | None = None
        self.metadata: Metadata = None
        if not logs.trace_context.get():
            return
        assert _tracer is not None
        own: Context | None = None  # None: the current one, that of the request
        if _is_sampled():
            host, _, port = target.rpartition(":")
            is_tcp = port.isdigit()
            address: dict[str, str | int] = {"server.address": host if is_tcp else target}
            self._span = _tracer.start_span(
                method,
                kind=SpanKind.CLIENT,
                attributes={
                    "rpc.system.name": "grpc",
                    "rpc.method": method,
                    **address,
                    **({"server.port": int(port)} if is_tcp else {}),
                    **attributes,
                },
            )
            own = trace.set_span_in_context(self._span)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, own)
        self.metadata = tuple(carrier.items()) or None

    def set(self, name: str, value: str | int) -> None:
        if self._span is not None:
            self._span.set_attribute(name, value)

    def __enter__(self) -> "Call":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._span is None:
            return
        if kind is not None:
            code = getattr(error, "code", None)  # of a gRPC error
            status = code().name if callable(code) else kind.__name__
            if callable(code):
                self._span.set_attribute("rpc.response.status_code", status)
            self._span.set_attribute("error.type", status)
            self._span.set_status(StatusCode.ERROR)
        else:
            self._span.set_attribute("rpc.response.status_code", "OK")
        self._span.end()


def exemplar() -> dict[str, str] | None:
    """The current request, as the exemplar of an observation; None unless it is sampled."""
    if not _is_sampled():
        return None
    ids = trace.get_current_span().get_span_context()
    return {"trace_id": f"{ids.trace_id:032x}", "span_id": f"{ids.span_id:016x}"}


def _is_sampled() -> bool:
    return bool(logs.trace_context.get()) and trace.get_current_span().is_recording()
