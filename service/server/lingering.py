"""Transport wrapper with a lingering `close()`: the last response gets through, and no client can
hold the connection open."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl

LINGER_S = 2
LINGER_BYTES = 1024 * 1024
RESPONSE_START = b"HTTP/1.1 "  # of every response


class LingeringTransport:
    """Given to uvicorn in place of the transport.

    If a socket is closed while the client still sends, the kernel sends a reset, which may overtake
    the response. So only our side is closed, and what still arrives is discarded, up to a limit.
    """

    def __init__(
        self, transport: asyncio.Transport, flow: FlowControl, send_timeout_s: float
    ) -> None:
        self.is_closing = transport.is_closing
        self.begun = False
        self.received_eof = False  # nothing more can arrive
        self._transport = transport
        self._flow = flow
        self._send_timeout_s = send_timeout_s
        self._loop = asyncio.get_running_loop()
        self._ahead = 0  # bytes of RESPONSE_START sent before there is a response
        self._discarded = 0
        self._unsent = 0
        self._linger: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        self._transport.write(data[self._ahead :])
        self._ahead = 0

    def write_ahead(self) -> None:
        """Send one byte of the response to come."""
        self._transport.write(RESPONSE_START[self._ahead : self._ahead + 1])
        self._ahead = min(self._ahead + 1, len(RESPONSE_START))

    def close(self) -> None:
        if self.begun or self._transport.is_closing():
            return
        self.begun = True
        if self.received_eof:
            self.hang_up()
            return
        self._transport.write_eof()
        self._flow.resume_reading()
        self._linger = self._loop.call_later(LINGER_S, self.hang_up)

    def discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self._flow.pause_reading()

    def hang_up(self) -> None:
        """Close without lingering, when nothing is expected from the client."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self.watch()

    def watch(self) -> None:
        """Abort the connection if the client reads nothing for `send_timeout_s`."""
        self.unwatch()
        self._unsent = self._transport.get_write_buffer_size()
        self._watch = self._loop.call_later(self._send_timeout_s, self._check)

    def unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _check(self) -> None:
        if self._transport.get_write_buffer_size() < self._unsent:
            self.watch()
        else:
            self._transport.abort()

    def lost(self) -> None:
        self.unwatch()
        if self._linger is not None:
            self._linger.cancel()
