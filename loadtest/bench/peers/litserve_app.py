"""LitServe: one HTTP process, one worker a route, async so that calls to the backend overlap.

`fast_queue` (ZeroMQ) carries pictures and answers between the two. A worker that is not async costs
a little less, but has only one request at the backend at a time.
"""

# It runs in a venv of its own, which mypy does not see.
# mypy: disable-error-code="import-not-found, misc, no-any-return"

import json
import os
from typing import Annotated, Any

import litserve as ls
from equal_work import Backend
from fastapi import Body, Request, Response


class Detect(ls.LitAPI):
    """The work is in `predict`; the two uploads differ only in `decode_request`."""

    backend: Backend | None = None

    def setup(self, device: str) -> None:
        """The worker has no running loop yet, and a channel needs one: the first call makes it."""

    async def predict(self, data: bytes) -> dict[str, Any]:
        if self.backend is None:
            self.backend = Backend()
        return await self.backend.detect(data)

    async def encode_response(self, output: dict[str, Any]) -> Response:
        """A Response: LitServe then need not find out how to turn a dict into JSON."""
        return Response(json.dumps(output), media_type="application/json")


class Raw(Detect):
    """LitServe documents no raw body; FastAPI below it hands a parameter of type bytes the body as
    it is. LitServe then formats it for a debug line that is not written: this row costs more.
    """

    async def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        return request


class Multipart(Detect):
    async def decode_request(self, request: Request) -> bytes:
        data: bytes = request["image"].file.read()
        return data


if __name__ == "__main__":
    server = ls.LitServer(
        [
            Raw(enable_async=True, api_path="/raw"),
            Multipart(enable_async=True, api_path="/multipart"),
        ],
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
    )
    server.run(
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        log_level="warning",  # no access log, as in LitServe's own performance tests
        generate_client_file=False,
    )
