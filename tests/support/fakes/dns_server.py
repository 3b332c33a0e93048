"""A DNS server that knows one name, whose addresses a test changes."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

A, IN = 1, 1


class DnsServer:
    """Answers every name with `addresses` (IPv4), with a TTL of 0."""

    def __init__(self, *addresses: str, at: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._at = at
        self.addresses = list(addresses)
        self.queries = 0

    def __enter__(self) -> "DnsServer":
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(self._at)
        self.authority = "{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # of a socket without a peer; it wakes the thread
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(512)
            if not query:  # shut down
                return
            self.queries += 1
            end = query.index(b"\0", 12)  # of the name in question
            (kind,) = struct.unpack_from("!H", query, end + 1)
            found = self.addresses if kind == A else []  # no AAAA here
            head = query[:2] + struct.pack("!5H", 0x8180, 1, len(found), 0, 0)
            record = b"\xc0\x0c" + struct.pack("!HHIH", A, IN, 0, 4)  # of the name at offset 12
            answers = b"".join(record + socket.inet_aton(address) for address in found)
            self._socket.sendto(head + query[12 : end + 5] + answers, sender)
