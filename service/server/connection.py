"""One client connection: uvicorn's HTTP protocol, bounded in bytes and time.

One request at a time: what a client pipelines waits until the response before it is sent. Malformed
requests are answered here; a body that fails is reported to the handler that reads it.
"""

import asyncio
from http import HTTPStatus
from types import SimpleNamespace
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..core.errors import (
    BODY_ERROR,
    DISCONNECT,
    DetectError,
    Draining,
    MalformedBody,
    SlowUpload,
)
from ..core.lifecycle import PROBE_PATHS, Lifecycle
from ..core.metrics import Metrics
from ..settings import Settings
from . import error_response, framing
from .connection_limit import ConnectionLimit
from .lingering import LingeringTransport
from .receive_buffer import ReceiveBuffer
from .stages import Stage, StageTimer

MAX_HEAD_BYTES = 32 * 1024
MAX_PIECES = 256  # of a chunked body; each costs about 2 µs, however short it is
MAX_BUFFERED_BYTES = 64 * 1024  # of pipelined requests, while one is being answered
PROBES = {path.encode() for path in PROBE_PATHS}


class Connection(HttpToolsProtocol):
    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    limit: ConnectionLimit

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._lingering = LingeringTransport(transport, self.flow, self.settings.send_timeout_s)
        self._received = ReceiveBuffer()
        self._received_eof = False
        self._body_left: int | None = None  # bytes; None if it is chunked
        self._unproductive_bytes = 0  # consecutive ones that complete no head and yield no body
        self._reusable = False  # by another request after this one
        self._stage = Stage.IDLE
        self._timer = StageTimer(
            {
                Stage.IDLE: (self.settings.head_timeout_s, self._lingering.hang_up),
                Stage.HEAD: (self.settings.head_timeout_s, self._head_timed_out),
                Stage.BODY: (self.settings.upload_timeout_s, self._upload_timed_out),
            }
        )
        self._timer.enter(self._stage)
        self.surplus = False  # whether it is one of those beyond `max_connections`
        self.limit.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._is_answering() and not self._disconnect.done():
            self._disconnect.set_result(None)
        self.limit.expendable.pop(self, None)
        self._enter(Stage.DISCARD)
        self._lingering.lost()
        # What refers back to this connection, so that no garbage collection is needed to free it.
        self._timer.limits.clear()

    # --- reading ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.DISCARD:
            self._lingering.discard(len(data))
            return
        self._received.append(data)
        self._parse()

    def _parse(self) -> None:
        while self._received and self._is_reading():
            if self._stage is not Stage.BODY:
                self._parse_head()
            elif self._body_left is None:
                self._parse_chunks()
            else:
                self._read_body(self._body_left)
        if len(self._received) > MAX_BUFFERED_BYTES:
            self.flow.pause_reading()
        if self._received_eof and self._is_reading():
            self._lingering.hang_up()
        self._timer.enter(self._stage)

    def _is_reading(self) -> bool:
        waiting = self._stage in (Stage.IDLE, Stage.HEAD, Stage.BODY)
        return waiting and not self.flow.write_paused

    def _parse_head(self) -> None:
        self._stage = Stage.HEAD
        piece = self._received.take_to_empty_line()
        self._unproductive_bytes += len(piece)
        if self._unproductive_bytes > MAX_HEAD_BYTES:
            fault = f"The request headers have more than {MAX_HEAD_BYTES} bytes."
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, fault)
            return
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass  # the offer of another protocol is ignored
        except httptools.HttpParserError as error:
            if self._stage is Stage.HEAD:
                fault = f"The request is not valid HTTP/1.1 ({error}); TLS is not spoken here."
                self._refuse(HTTPStatus.BAD_REQUEST, fault)

    def on_headers_complete(self) -> None:
        if fault := framing.fault(self.parser.get_http_version(), self.headers):
            self._refuse(HTTPStatus.BAD_REQUEST, fault)
        elif self.surplus and self.url.partition(b"?")[0] not in PROBES:
            self._refuse_surplus()
        else:
            super().on_headers_complete()
            self._start_body()

    def _start_body(self) -> None:
        self.limit.expendable.pop(self, None)
        self._stage = Stage.BODY
        self._unproductive_bytes = self._pieces = 0
        self._reusable = self.cycle.keep_alive and not (self.lifecycle.draining or self.surplus)
        # A response that starts before the end of the body is the last one: the rest is not read.
        self.cycle.keep_alive = False
        self.cycle.transport = cast(asyncio.Transport, self._lingering)
        self.cycle.scope["state"][DISCONNECT] = self._disconnect = self.loop.create_future()
        self._body_left = framing.body_length(self.headers)
        if self._body_left == 0:
            self._end_body()
        elif self._body_left is None:
            calls = SimpleNamespace(on_body=self.on_body, on_message_complete=self._end_body)
            self.parser = httptools.HttpRequestParser(calls)
            self.parser.feed_data(framing.CHUNKED_HEAD)

    def _read_body(self, count: int) -> None:
        piece = self._received.take(count)
        self.on_body(piece)
        self._body_left = count - len(piece)
        if self._body_left == 0:
            self._end_body()

    def _parse_chunks(self) -> None:
        received = self._received
        self._pieces += 1
        few = self._pieces <= MAX_PIECES
        piece = received.take_to_empty_line() if few else received.take(len(received))
        self._unproductive_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError as error:
            if self._stage is Stage.BODY:
                self._fail(MalformedBody(f"The body is not valid HTTP/1.1 ({error})."))
            else:  # it ended within a large piece, and the request after it cannot be found
                self.cycle.keep_alive = False
                self._enter(Stage.DISCARD)
        if self._unproductive_bytes > MAX_HEAD_BYTES and self._stage is Stage.BODY:
            fault = f"The body has more than {MAX_HEAD_BYTES} bytes around its content."
            self._fail(MalformedBody(fault))

    def on_body(self, body: bytes | memoryview) -> None:
        self._unproductive_bytes = 0
        if not self.cycle.body:  # uvicorn would copy it into a bytearray, and out again
            self.cycle.body, body = cast(bytearray, bytes(body)), b""
        elif isinstance(self.cycle.body, bytes):  # else each small piece would copy all before it
            self.cycle.body = bytearray(self.cycle.body)
        super().on_body(cast(bytes, body))

    def on_message_complete(self) -> None:
        """The parser sees heads only; `_end_body` does this."""

    def _end_body(self) -> None:
        self._stage = Stage.RESPONSE
        self._unproductive_bytes = 0
        super().on_message_complete()
        self.flow.resume_reading()  # to see a disconnect
        self.cycle.keep_alive = self._reusable and not self.cycle.response_started

    # --- answering --------------------------------------------------------------------------------

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._lingering.begun or self.transport.is_closing():
            self.limit.expendable[self] = None
            self._enter(Stage.DISCARD)
            return
        self._timer.limits[Stage.IDLE] = (self.settings.keep_alive_s, self._lingering.hang_up)
        self._enter(Stage.IDLE)
        self.parser = httptools.HttpRequestParser(self)
        self.flow.resume_reading()
        self._parse()

    def _refuse(self, status: HTTPStatus, detail: str, retry_after_s: int | None = None) -> None:
        """Answer what is no request, and end the connection."""
        self._enter(Stage.DISCARD)
        self.metrics.requests("unmatched", status.value).inc()
        headers = self.server_state.default_headers
        self.transport.write(error_response.encode(status, detail, headers, retry_after_s))
        self._lingering.close()

    def _refuse_surplus(self) -> None:
        most = f"There are more than {self.settings.max_connections} connections"
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{most}; try again later.", 1)

    def give_way(self) -> None:
        """Close now, to make room for another connection."""
        if self._stage is not Stage.DISCARD:
            self._refuse_surplus()
        self.connections.discard(self)
        self.limit.expendable.pop(self, None)
        self.transport.close()

    def _fail(self, error: DetectError) -> None:
        """Make the handler's next read of the body raise `error`."""
        self._enter(Stage.DISCARD)
        self.cycle.scope["state"][BODY_ERROR] = error
        self.cycle.message_event.set()

    # --- time -------------------------------------------------------------------------------------

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self._timer.enter(stage)

    def _head_timed_out(self) -> None:
        limit = f"{self.settings.head_timeout_s:g} seconds"
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT, f"The request headers did not arrive within {limit}."
        )

    def _upload_timed_out(self) -> None:
        limit = f"{self.settings.upload_timeout_s:g} seconds"
        self._fail(SlowUpload(f"The body did not arrive within {limit} of the headers."))

    # --- ending -----------------------------------------------------------------------------------

    def eof_received(self) -> bool:  # type: ignore[override]
        """True keeps the connection open: the client may still wait for its response."""
        self._received_eof = self._lingering.received_eof = True
        waiting = self._is_answering() and self._stage is not Stage.BODY
        if waiting:
            self._check_client(0.1)
        return waiting

    def _check_client(self, again_in_s: float) -> None:
        """Whether it only sends no more, or is gone: that shows when something is sent to it.

        A closed socket replies with a reset; the next byte cannot be sent, which cancels the work.
        """
        if self._is_answering() and not self.cycle.response_started:
            self._lingering.write_ahead()
            self.loop.call_later(again_in_s, self._check_client, 2 * again_in_s)

    def answer_and_close(self) -> None:
        """Announce in the response under way that it is this connection's last."""
        self._reusable = False
        if self._is_answering():
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        self.answer_and_close()
        if not self._is_answering():
            self._lingering.hang_up()
        elif self._stage is Stage.BODY:  # half of the time left; the other half is for the response
            self.loop.call_later(self.settings.shutdown_timeout_s / 2, self._shut_down_upload)

    def _shut_down_upload(self) -> None:
        if self._stage is Stage.BODY:
            self._fail(Draining("This gateway is shutting down, and the body has not arrived."))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._lingering.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._lingering.unwatch()
        self._parse()


def protocol_factory(
    settings: Settings, metrics: Metrics, lifecycle: Lifecycle
) -> type[Connection]:
    """uvicorn takes a class and instantiates it for every connection."""
    shared = {"settings": settings, "metrics": metrics, "lifecycle": lifecycle}
    limit = ConnectionLimit(settings.max_connections)
    return type("BoundConnection", (Connection,), {**shared, "limit": limit})
