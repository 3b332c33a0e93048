"""How a connection ends: its last answer gets through, and no client can hold it open."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl

LINGER_S = 2
LINGER_BYTES = 1024 * 1024


class Leaving:
    """Stands for the transport where uvicorn closes it.

    Closed while the client still sends, the kernel would answer with a reset, and that may overtake
    the answer. So only our side ends; what still comes is thrown away, up to a limit.
    """

    def __init__(
        self, transport: asyncio.Transport, flow: FlowControl, send_timeout_s: float
    ) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.begun = False
        self._transport = transport
        self._flow = flow
        self._send_timeout_s = send_timeout_s
        self._loop = asyncio.get_running_loop()
        self._discarded = 0
        self._unsent = 0
        self._linger: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self.begun or self._transport.is_closing():
            return
        self.begun = True
        self._transport.write_eof()
        self._flow.resume_reading()
        self._linger = self._loop.call_later(LINGER_S, self.hang_up)

    def discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self._flow.pause_reading()

    def hang_up(self) -> None:
        """Without lingering: where nothing is expected from the client."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self.watch()

    def watch(self) -> None:
        """From now on something is unsent: the client must go on reading."""
        self.unwatch()
        self._unsent = self._transport.get_write_buffer_size()
        self._watch = self._loop.call_later(self._send_timeout_s, self._look)

    def unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() < self._unsent:
            self.watch()
        else:
            self._transport.abort()

    def lost(self) -> None:
        self.unwatch()
        if self._linger is not None:
            self._linger.cancel()
