"""Bytes not parsed yet, handed out in pieces that end wherever a request may end.

The parser cannot be paused, so it must never be given the beginning of the next request.
"""

EMPTY_LINE = b"\r\n\r\n"


class ReceiveBuffer:
    def __init__(self) -> None:
        self._data = b""
        self._at = 0  # what is before has been taken

    def __len__(self) -> int:
        return len(self._data) - self._at

    def append(self, data: bytes) -> None:
        # An empty line may begin in what was taken, and end in what arrives now.
        start = max(0, self._at - len(EMPTY_LINE) + 1)
        self._data = self._data[start:] + data
        self._at -= start

    def take(self, count: int) -> bytes | memoryview:
        """At most `count` bytes, of a body: an empty line that begins in them is none."""
        if count < len(self):
            return self._take_to(self._at + count)
        rest = memoryview(self._data)[self._at :] if self._at else self._data
        self._data, self._at = b"", 0  # so that what arrives next is not copied
        return rest

    def take_to_empty_line(self) -> memoryview:
        """As far as the end of the next empty line, which ends every head and every chunked body;
        everything if there is none yet."""
        found = self._data.find(EMPTY_LINE, max(0, self._at - len(EMPTY_LINE) + 1))
        return self._take_to(len(self._data) if found < 0 else found + len(EMPTY_LINE))

    def _take_to(self, end: int) -> memoryview:
        start, self._at = self._at, end
        return memoryview(self._data)[start:end]
