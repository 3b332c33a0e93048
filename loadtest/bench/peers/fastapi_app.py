"""The floor: FastAPI and uvicorn that only forward. No validation, limits, metrics or log."""

# It runs in a venv of its own, which mypy does not see.
# mypy: disable-error-code="import-not-found"

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from equal_work import Backend
from fastapi import FastAPI, Request, Response
from starlette.datastructures import UploadFile


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.backend = Backend()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/raw")
async def raw(request: Request) -> Response:
    return await _answer(request, await request.body())


@app.post("/multipart")
async def multipart(request: Request) -> Response:
    async with request.form() as form:
        upload = form["image"]
        assert isinstance(upload, UploadFile)
        return await _answer(request, await upload.read())


async def _answer(request: Request, data: bytes) -> Response:
    detections = await request.app.state.backend.detect(data)
    return Response(json.dumps(detections), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
