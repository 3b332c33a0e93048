"""A TCP proxy before a server, which resets all of its connections when a test wants it to."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST, not FIN


class TcpProxy:
    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._open: list[socket.socket] = []
        self.connections = 0

    def __enter__(self) -> "TcpProxy":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.reset()

    def reset(self) -> None:
        while self._open:
            connection = self._open.pop()
            with contextlib.suppress(OSError):  # it has just ended by itself
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.shutdown(socket.SHUT_RD)  # wakes who reads it; close alone does not
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener's end
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                self.connections += 1
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
