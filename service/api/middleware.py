"""Observability of every request: request id, Server-Timing, metrics and one log line."""

import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..core import logs, tracing
from ..core.lifecycle import PROBE_PATHS
from ..core.metrics import Metrics
from ..core.responses import CSP_DENY_ALL_RAW, CSP_RAW, MODEL_VERSION, SECURITY_HEADERS_RAW
from ..detection.timings import Timings

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
MAX_LOGGED_PATH = 256  # characters
MODEL_VERSION_RAW = MODEL_VERSION.lower().encode()
CODE_CLASSES = ("", "1xx", "2xx", "3xx", "4xx", "5xx")


class ObservabilityMiddleware:
    """ASGI middleware. Sets `request_id`, `timings` and `fields`, which the log line shows, in the
    request's state."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        sent_ids = (value for name, value in scope["headers"] if name == b"x-request-id")
        sent_id = next(sent_ids, b"").decode("latin-1")
        request_id = sent_id if REQUEST_ID.fullmatch(sent_id) else random.randbytes(16).hex()
        logs.request_id.set(request_id)  # for the rest of this task, which is the request's own
        span = tracing.start_request(scope, request_id)
        state = scope.setdefault("state", {})
        timings: Timings = state.setdefault("timings", Timings())
        state["request_id"] = request_id
        fields: dict[str, object] = state.setdefault("fields", {})

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]  # raw: MutableHeaders would cost 6 µs
                headers += SECURITY_HEADERS_RAW
                headers.append((b"x-request-id", request_id.encode()))
                if CSP_RAW not in dict(headers):
                    headers.append(CSP_DENY_ALL_RAW)
                if "version" in fields:
                    headers.append((MODEL_VERSION_RAW, str(fields["version"]).encode()))
                if timings:
                    timings["total"] = time.perf_counter() - started
                    parts = [f"{part};dur={s * 1000:.2f}" for part, s in timings.items()]
                    headers.append((b"server-timing", ", ".join(parts).encode()))
            await send(message)

        try:
            await self.app(scope, receive, observe)
        finally:
            seconds = time.perf_counter() - started
            path = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.requests(path, status).inc()
            duration = self.metrics.request_seconds(path, CODE_CLASSES[status // 100])
            duration.observe(seconds, tracing.exemplar())
            if span is not None:
                tracing.end_request(span, scope, status, state.get("problem"))
            if path not in PROBE_PATHS or status == 500:
                client = scope.get("client")
                logs.event(
                    "request",
                    _level(status),
                    request_id=request_id,
                    **logs.trace_context.get(),
                    client=client[0] if client else None,
                    method=scope["method"],
                    path=scope["path"][:MAX_LOGGED_PATH],
                    status=status,
                    ms=round(seconds * 1000, 2),
                    **fields,
                )


def _level(status: int) -> int:
    """500 is a bug; other 5xx are an overload or an outage; 4xx are the client's."""
    if status < 500:
        return logging.INFO
    return logging.ERROR if status == 500 else logging.WARNING
