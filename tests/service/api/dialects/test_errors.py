"""What goes wrong, in every dialect: its own error form, the right status, and no other 5xx than
503 and 504."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest

from service.backend import messages as m
from tests.support.fakes.fake_backend import FakeBackend, Refuse, answer
from tests.support.inputs.jpeg_mutations import mutation, seeds
from tests.support.inputs.pictures import picture
from tests.support.oracles.two_decoders import (
    expected_status,
    header_status,
    pillow_size,
    tensorflow_size,
)
from tests.support.processes.gateway_process import GatewayProcess, wait_for

KEY = "k" * 43
GOOD = picture()
Form = Callable[[dict[str, Any]], object]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Dialect(NamedTuple):
    path: str
    body: Callable[[bytes], dict[str, Any]]  # httpx's arguments
    own: Form  # the sentence of its own error object

    def post(self, gateway: GatewayProcess, data: bytes, key: str = "") -> httpx.Response:
        headers = {"X-API-Key": key} if key else {}
        arguments = self.body(data)
        arguments["headers"] = headers | arguments.get("headers", {})
        return gateway.http.post(self.path, **arguments)


def form(data: bytes) -> dict[str, Any]:
    return {"files": {"image": ("image", data)}}


def raw(data: bytes) -> dict[str, Any]:
    return {"content": data, "headers": {"Content-Type": "image/jpeg"}}


def rows(data: bytes) -> dict[str, Any]:
    return {"json": {"instances": [{"b64": b64(data)}]}}


def tensor(data: bytes) -> dict[str, Any]:
    return {"content": data, "headers": {"Inference-Header-Content-Length": "0"}}


def deepstack(content: dict[str, Any]) -> object:
    assert (content["success"], content["predictions"]) == (False, [])
    return content["error"]


def problem(content: dict[str, Any]) -> object:
    assert content["type"].startswith("urn:problem:")
    return content["detail"]


def doods(content: dict[str, Any]) -> object:
    assert problem(content) == content["error"]
    return content["error"]


def error(content: dict[str, Any]) -> object:
    assert set(content) == {"error"}
    return content["error"]


DIALECTS = {
    "detect": Dialect("/detect", raw, problem),
    "model": Dialect("/models/yolov4/detect", form, problem),
    "roboflow": Dialect("/detect?format=roboflow", form, problem),
    "deepstack": Dialect("/v1/vision/detection", form, deepstack),
    "custom": Dialect("/v1/vision/custom/yolov4", form, deepstack),
    "doods": Dialect(
        "/detect", lambda data: {"json": {"data": b64(data), "detect": {"*": 1}}}, doods
    ),
    "sagemaker": Dialect("/invocations", raw, error),
    "vertex": Dialect("/invocations", rows, error),
    "tfs": Dialect("/v1/models/yolov4:predict", rows, error),
    "oip": Dialect("/v2/models/yolov4/infer", tensor, error),
}
every = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@pytest.fixture(scope="module")
def keyed(
    backend: FakeBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    path: Path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"a {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    with GatewayProcess(backend=backend.target, api_keys_file=path) as process:
        yield process


@pytest.fixture(scope="module")
def alone() -> Iterator[GatewayProcess]:
    with GatewayProcess(backend="127.0.0.1:1") as process:
        yield process


def expect(response: httpx.Response, dialect: Dialect, status: int) -> str:
    assert response.status_code == status, response.text
    assert int(response.headers["content-length"]) == len(response.content)
    assert "json" in response.headers["content-type"]
    assert ("retry-after" in response.headers) == (status == 503)
    sentence = dialect.own(json.loads(response.content))
    assert isinstance(sentence, str)
    assert sentence
    return sentence


def as_tensorflow(data: bytes) -> Any:
    if not tensorflow_size(data):
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Invalid JPEG data")
    return answer([])


@pytest.fixture(scope="module")
def unlimited(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(backend=backend.target, deadline_s=60) as process:
        yield process


@every
def test_a_picture_that_is_none(gateway: GatewayProcess, dialect: Dialect) -> None:
    assert "picture" in expect(dialect.post(gateway, b"no picture"), dialect, 400)
    assert "pixels" in expect(dialect.post(gateway, picture(1100, 1000)), dialect, 413)
    assert "a GIF" in expect(dialect.post(gateway, picture(kind="GIF")), dialect, 415)


@every
def test_a_wrong_key(keyed: GatewayProcess, dialect: Dialect) -> None:
    assert dialect.post(keyed, GOOD, KEY).status_code == 200
    assert "key" in expect(dialect.post(keyed, GOOD), dialect, 401)
    assert "key" in expect(dialect.post(keyed, GOOD, "x" * 43), dialect, 401)


@every
def test_no_model_server(alone: GatewayProcess, dialect: Dialect) -> None:
    expect(dialect.post(alone, GOOD), dialect, 503)


@every
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503),
        (grpc.StatusCode.INTERNAL, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    ],
)
def test_a_model_server_that_refuses(
    gateway: GatewayProcess, backend: FakeBackend, dialect: Dialect, code: Any, status: int
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(code, "secret words")

    backend.reply = refuse
    assert "secret" not in expect(dialect.post(gateway, GOOD), dialect, status)


@every
def test_a_model_that_answers_with_something_else(
    gateway: GatewayProcess, backend: FakeBackend, dialect: Dialect
) -> None:
    backend.reply = lambda _: m.PredictResponse()
    expect(dialect.post(gateway, GOOD), dialect, 503)
    backend.reply = lambda _: answer([("x", 0, float("nan"), (0.0, 0.0, 1.0, 1.0))])
    expect(dialect.post(gateway, GOOD), dialect, 503)


def test_overload_in_every_dialect() -> None:
    """One slot, taken, and no queue."""
    import threading

    go_on, at_work = threading.Event(), threading.Event()

    def reply(_: bytes) -> Any:
        at_work.set()
        assert go_on.wait(60)
        return answer([])

    with (
        FakeBackend(reply) as backend,
        GatewayProcess(backend=backend.target, max_in_flight=1, max_queue=0) as gateway,
    ):
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        first = threading.Thread(target=DIALECTS["detect"].post, args=[gateway, GOOD])
        first.start()
        try:
            assert at_work.wait(20)
            for dialect in DIALECTS.values():
                expect(dialect.post(gateway, GOOD), dialect, 503)
        finally:
            go_on.set()
            first.join()


@every
def test_damaged_pictures_are_answered_in_its_own_form(
    gateway: GatewayProcess, dialect: Dialect
) -> None:
    pictures = seeds()
    for index in range(20):
        response = dialect.post(gateway, mutation(pictures, index).data)
        assert response.status_code in (200, 400, 413, 415), response.text
        if response.status_code != 200:
            expect(response, dialect, response.status_code)


@pytest.mark.slow
@every
def test_the_corpus_is_answered_in_its_own_form(
    unlimited: GatewayProcess, backend: FakeBackend, data: Path, dialect: Dialect
) -> None:
    """Every 13th file. A sender of damaged pictures is quarantined: Pillow then judges instead of
    TensorFlow, and the few files on which they disagree may have either status."""
    folder = data / "jpeg-corpus"
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")[::13]
    assert len(paths) > 20
    backend.reply = as_tensorflow
    statuses = set()
    for path in paths:
        content = path.read_bytes()
        quarantined = header_status(content) or (200 if pillow_size(content) else 400)
        response = dialect.post(unlimited, content)
        statuses.add(response.status_code)
        expected = {expected_status(content), quarantined}
        assert response.status_code in expected, (path.name, response.text)
        if response.status_code != 200:
            expect(response, dialect, response.status_code)
    assert {200, 400} <= statuses
