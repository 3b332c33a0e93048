"""A connection's answers, on uvicorn's protocol: in the order of the requests, until the last."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..errors import BODY_ERROR, DetectError, Draining, SlowUpload
from ..lifecycle import Lifecycle
from ..metrics import Metrics
from ..settings import Settings
from . import error_response
from .lingering import Leaving


class Conversation(HttpToolsProtocol):
    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._leaving = Leaving(transport, self.flow, self.settings.send_timeout_s)
        self._timer: asyncio.TimerHandle | None = None
        self._silent = True  # nothing has come yet
        self._deaf = False  # what still comes is no request
        self._in_head = False
        self._persistent = False
        self._running: RequestResponseCycle | None = None
        self._refusal = b""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)  # tells only the last of several requests
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self._unset_keepalive_if_required()
        self._disarm()
        self._leaving.lost()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _body_is_due(self) -> bool:
        return self._answering and self.cycle.more_body and not self._in_head

    def _keep_order(self, persistent: bool) -> None:
        """For the request whose head has just been read."""
        self._persistent = persistent
        # An answer that comes before the end of the body is the last one: the rest is not read.
        self.cycle.keep_alive = False
        self.cycle.transport = cast(asyncio.Transport, self._leaving)

    def _body_is_here(self) -> None:
        if self._persistent and not self.cycle.response_started:
            self.cycle.keep_alive = True
        else:
            self._deaf = True

    def _refuse(self, status: HTTPStatus, detail: str, retry_after_s: int | None = None) -> None:
        """Answers what is no request, after the requests before it."""
        self._deaf = True
        self._disarm()
        self.metrics.requests("unmatched", status.value).inc()
        headers = self.server_state.default_headers
        self._refusal = error_response.answer(status, detail, headers, retry_after_s)
        if not self._answering:
            self._send_refusal()

    def _send_refusal(self) -> None:
        self.transport.write(self._refusal)
        self._leaving.close()

    def _fail(self, error: DetectError) -> None:
        """Tells whoever reads the body that it does not go on."""
        self._deaf = True
        self._disarm()
        self.cycle.scope["state"][BODY_ERROR] = error
        self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        if self._leaving.begun:
            self._deaf = True
            self._disarm()
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._refusal and not self._answering:
            self._send_refusal()
        elif self.pipeline:
            self.flow.pause_reading()  # or more would come for each that is answered
        elif self._answering or self._in_head:
            self._unset_keepalive_if_required()
            self._arm()

    # --- how long it may take ---------------------------------------------------------------------

    def _arm(self) -> None:
        """What waits behind other requests may not be read yet, so its time does not count."""
        if self._timer is not None or self._deaf or self.pipeline:
            return
        if self._body_is_due:
            self._timer = self.loop.call_later(self.settings.upload_timeout_s, self._late)
        elif not self._answering:
            self._timer = self.loop.call_later(self.settings.head_timeout_s, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._body_is_due:
            limit = f"The body did not arrive within {self.settings.upload_timeout_s:g} seconds"
            self._fail(SlowUpload(f"{limit} of the request's head."))
        elif self._silent:
            self.transport.close()
        else:
            limit = f"The head did not arrive within {self.settings.head_timeout_s:g} seconds"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"{limit}.")

    # --- how it ends ------------------------------------------------------------------------------

    def answer_and_close(self) -> None:
        """What is under way is answered, and the client told that there will be no more."""
        self._persistent = False
        if self._answering:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        self.answer_and_close()
        if not self._answering:
            self._leaving.hang_up()
        elif self._body_is_due:  # half of the time that is left; the other is for the answer
            self.loop.call_later(self.settings.shutdown_timeout_s / 2, self._too_late)

    def _too_late(self) -> None:
        if self._body_is_due:
            self._fail(Draining("This gateway stops, and the body has not arrived."))

    def timeout_keep_alive_handler(self) -> None:
        self._leaving.hang_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._leaving.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._leaving.unwatch()
