"""The service as a stranger sees it: `POST /detect` on a real socket, with chosen answers."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar

# Status, content and Retry-After, if any.
Reply = tuple[int, dict[str, Any], str | None]
Row = tuple[str, float, tuple[float, float, float, float]]  # label, score, xyxy


def found(rows: list[Row], size: tuple[int, int] = (640, 480), version: int = 1) -> Reply:
    """Detections as contract 1 has them."""
    corners = ("x_min", "y_min", "x_max", "y_max")
    content = {
        "model": {"name": "fake", "version": version},
        "image": {"width": size[0], "height": size[1]},
        "detections": [
            {
                "label": label,
                "class_id": 0,
                "score": score,
                "box": dict(zip(corners, box, strict=True)),
            }
            for label, score, box in rows
        ],
    }
    return 200, content, None


def problem(status: int, detail: str, retry_after: str | None = None) -> Reply:
    return status, {"status": status, "detail": detail}, retry_after


@dataclass
class FakeService:
    """`reply` gets a picture's bytes. `received`: the bytes of all requests, in order."""

    reply: Callable[[bytes], Reply]
    received: list[bytes] = field(default_factory=list)
    targets: set[tuple[str, str]] = field(default_factory=set)  # (path and query, media type)
    connections: int = 0

    def __enter__(self) -> "FakeService":
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize: ClassVar[int] = -1  # an answer goes out in one piece

            def setup(self) -> None:
                super().setup()
                service.connections += 1

            def do_POST(self) -> None:
                picture = self.rfile.read(int(self.headers["Content-Length"]))
                service.received.append(picture)
                service.targets.add((self.path, self.headers["Content-Type"]))
                status, content, retry_after = service.reply(picture)
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if retry_after:
                    self.send_header("Retry-After", retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a caller that went away

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
