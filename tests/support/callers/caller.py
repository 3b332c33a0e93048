"""A caller with one keep-alive connection, and the CPU time and memory of a process."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, Any]]


class Caller:
    """One kept connection; cheaper than httpx where there are thousands of requests.

    `sender`: a number of its own, for an address that the gateway has not seen.
    """

    def __init__(self, url: str, timeout_s: float = 60, sender: int | None = None) -> None:
        address = f"127.1.{sender // 250}.{sender % 250 + 1}" if sender is not None else "127.0.0.1"
        self._connection = http.client.HTTPConnection(
            urlsplit(url).netloc, timeout=timeout_s, source_address=(address, 0)
        )

    def detect(self, data: bytes, query: str = "") -> Answer:
        """The picture as the body itself -> status and JSON."""
        headers = {"Content-Type": "image/jpeg"}
        self._connection.request("POST", f"/detect{query}", data, headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def close(self) -> None:
        self._connection.close()


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
