"""Around every request: its id, its timings, its count in the metrics, its line in the log."""

import logging
import os
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import logs
from ..detection.timings import Timings
from ..lifecycle import PROBE_PATHS
from ..metrics import Metrics
from ..responses import CSP, CSP_DENY_ALL, SECURITY_HEADERS_RAW

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class ObservabilityMiddleware:
    """Plain ASGI. The request's state has `request_id`, `timings`, and the log line's `fields`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        asked_id = Headers(scope=scope).get("x-request-id", "")
        request_id = asked_id if REQUEST_ID.fullmatch(asked_id) else os.urandom(16).hex()
        state = scope.setdefault("state", {})
        timings: Timings = state.setdefault("timings", Timings())
        state["request_id"] = request_id
        fields: dict[str, object] = state.setdefault("fields", {})

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.setdefault(CSP, CSP_DENY_ALL)
                message["headers"] += SECURITY_HEADERS_RAW
                if timings:
                    timings["total"] = time.perf_counter() - started
                    headers["Server-Timing"] = ", ".join(
                        f"{part};dur={seconds * 1000:.2f}" for part, seconds in timings.items()
                    )
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - started
            path = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.requests(path, status).inc()
            self.metrics.request_seconds(path).observe(seconds)
            if path not in PROBE_PATHS or status == 500:
                logs.event(
                    "request",
                    logging.ERROR if status == 500 else logging.INFO,
                    request_id=request_id,
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round(seconds * 1000, 2),
                    **fields,
                )
