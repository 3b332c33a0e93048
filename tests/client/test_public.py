"""Everything that `detect_client` exports, called against the real gateway."""

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import detect_client
import pytest
from detect_client import AsyncClient, Client, DetectError, Result

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.fakes.http_server import HttpServer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import free_port

ELSEWHERE = {"Result.to_supervision"}  # tests/clients/test_readers.py, where supervision is


@pytest.fixture
def url() -> Iterator[str]:
    with (
        FakeBackend(class_names=("person", "bicycle")) as backend,
        GatewayProcess(backend=backend.target) as gateway,
    ):
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        yield gateway.url


def public() -> dict[str, CodeType]:
    """The exported classes' own functions and properties, by name."""
    found = {}
    for name in detect_client.__all__:
        for attribute, value in vars(getattr(detect_client, name)).items():
            function = value.fget if isinstance(value, property) else value
            if inspect.isfunction(function) and not attribute.startswith("_"):
                found[f"{name}.{attribute}"] = function.__code__
    return found


def use(url: str) -> None:
    with Client(url) as client:
        model = client.model()
        assert (model.name, model.version, model.labels) == ("yolov4", 3, ("person", "bicycle"))
        result = client.detect(picture())
        assert [type(a) for a in client.detect_batch([picture()])] == [Result]
        assert [type(a) for a in client.detect_many([picture()])] == [Result]
    box = result.detections[0].box
    assert (box.width, box.height) == (box.x_max - box.x_min, box.y_max - box.y_min)
    assert result.draw().size == (64, 48)
    assert result.to_coco(7)[0]["image_id"] == 7
    assert result.to_dict()["model"] == {"name": "yolov4", "version": 3}
    asyncio.run(use_async(url))
    client = Client(url)
    client.close()


async def use_async(url: str) -> None:
    client = AsyncClient(url)
    assert (await client.model()).name == "yolov4"
    assert (await client.detect(picture())).width == 64
    assert len(await client.detect_batch([picture()])) == 1
    assert len([a async for a in client.detect_many([picture()])]) == 1
    await client.aclose()


def test_every_function_is_called(url: str) -> None:
    """One that is added has to be called here too."""
    called: set[CodeType] = set()

    def record(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.add(frame.f_code)

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        use(url)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    functions = public()
    assert len(functions) > 12
    assert {name for name, code in functions.items() if code not in called} == ELSEWHERE


def test_every_error_is_raised(url: str, tmp_path: Path) -> None:
    """Each by the real service, or, what no healthy one does, by a stand-in."""
    (tmp_path / "keys").write_text(f"me {'0' * 64}\n")
    nothing = f"http://127.0.0.1:{free_port()}"
    raised: set[type[DetectError]] = set()

    def provoke(url: str, data: bytes = picture(), timeout_s: float = 20, **query: Any) -> None:
        with Client(url, timeout_s=timeout_s) as client, pytest.raises(DetectError) as error:
            client.detect(data, **query)
        raised.add(error.type)

    provoke(url, b"rubbish")
    provoke(url, score_threshold=3)
    provoke(nothing, timeout_s=0.2)
    with GatewayProcess(backend=nothing[7:], api_keys_file=tmp_path / "keys") as locked:
        provoke(locked.url)
    with GatewayProcess(backend=nothing[7:]) as alone:
        provoke(alone.url, timeout_s=0.5)
    with FakeBackend(delay_s=2) as slow, GatewayProcess(backend=slow.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        provoke(gateway.url, timeout_s=0.4)
    with HttpServer(lambda _: (200, {}, b"<html>hello</html>")) as other:
        provoke(other.url)
    exported = {getattr(detect_client, name) for name in detect_client.__all__}
    errors = {e for e in exported if issubclass(e, DetectError) and e is not DetectError}
    assert raised == errors
