"""Straight to a model server: answers, refusals, repeats, TLS."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from detect_client.cli.bulk.model_server.channel import TLS
from detect_client.cli.bulk.model_server.client import ModelServer
from detect_client.cli.options import Stop
from detect_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    DetectError,
    InvalidParameter,
    InvalidPicture,
    Unavailable,
    UnexpectedAnswer,
)
from detect_client.results import Model, Result
from grpc import StatusCode as Code

from service.backend import messages as real
from tests.support.fakes.fake_backend import DOG, FakeBackend, Refuse, answer
from tests.support.inputs.certificates import Certificates
from tests.support.inputs.pictures import picture
from tests.support.project import free_port


def detect(
    address: str,
    *pictures: bytes,
    tls: TLS = TLS(),  # noqa: B008, immutable
    timeout_s: float = 10,
    score_threshold: float = 0.25,
    max_detections: int = 100,
    labels: Sequence[str] = (),
) -> list[Result | DetectError]:
    """All at once; each picture's result, or its error."""

    async def run() -> Any:
        async with ModelServer(address, "yolov4", tls=tls, timeout_s=timeout_s) as server:
            calls = (
                server.detect(
                    data,
                    score_threshold=score_threshold,
                    max_detections=max_detections,
                    labels=labels,
                )
                for data in pictures
            )
            return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(run())


def only(results: list[Result | DetectError]) -> Result:
    (result,) = results
    assert isinstance(result, Result), result
    return result


def model(address: str, timeout_s: float = 5) -> Model:
    async def run() -> Model:
        async with ModelServer(address, "yolov4", tls=TLS(), timeout_s=timeout_s) as server:
            return await server.model()

    return asyncio.run(run())


@pytest.mark.parametrize("form", ["grpc://{}", "grpc://{}/", "dns:///{}"])
def test_an_answer(server: FakeBackend, form: str) -> None:
    result = only(detect(form.format(server.target), picture(50, 40)))
    assert (result.model, result.version, result.width, result.height) == ("yolov4", 3, 50, 40)
    dog, cat = result.detections
    assert (dog.label, dog.class_id, dog.score) == ("dog", 16, 0.75)
    assert dog.box == (10.25, 20.5, 50.0, 40.0)  # clipped
    assert cat.box == (0.0, 3.0, 50.0, 40.0)


def test_threshold_labels_and_count(server: FakeBackend) -> None:
    def labels(**query: Any) -> list[str]:
        found = only(detect(f"grpc://{server.target}", picture(), **query)).detections
        return [d.label for d in found]

    assert labels(score_threshold=0.1) == ["dog", "cat", "mouse"]
    assert labels(score_threshold=0.6) == ["dog"]
    assert labels(max_detections=1) == ["dog"]
    assert labels(max_detections=1, labels=["cat"]) == ["cat"]


def test_wrong_parameters(server: FakeBackend) -> None:
    for query, sentence in (
        ({"labels": ["cta"]}, "no label 'cta'. Did you mean 'cat'?"),
        ({"score_threshold": 1.5}, "0 to 1"),
        ({"max_detections": 0}, "1 to 100"),
    ):
        (error,) = detect(f"grpc://{server.target}", picture(), **query)
        assert isinstance(error, InvalidParameter)
        assert sentence in str(error)
    assert not server.pictures


def test_a_model_without_metadata_has_no_labels(server: FakeBackend) -> None:
    assert model(f"grpc://{server.target}") == Model("yolov4", 3, ("dog", "cat", "mouse"))
    server.class_names = None
    assert model(f"grpc://{server.target}") == Model("yolov4", 3, ())
    only(detect(f"grpc://{server.target}", picture(), labels=["dog"]))


def test_a_picture_of_a_reduced_size_has_boxes_of_its_own(server: FakeBackend) -> None:
    server.reply = lambda data: answer([("dog", 16, 0.75, (10.0, 20.0, 30.0, 40.0))])
    result = only(detect(f"grpc://{server.target}", picture(3200, 3300, orientation=6)))
    assert (result.width, result.height) == (3300, 3200)
    assert result.detections[0].box == (20.0, 40.0, 60.0, 80.0)


@pytest.mark.parametrize("code", [Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.INTERNAL])
def test_a_server_without_room_is_asked_again(server: FakeBackend, code: Code) -> None:
    refusals = iter(range(3))

    def reply(data: bytes) -> Any:
        if next(refusals, None) is not None:
            raise Refuse(code)
        return answer([DOG])

    server.reply = reply
    assert len(only(detect(f"grpc://{server.target}", picture())).detections) == 1
    assert len(server.pictures) == 4


def test_a_server_that_stays_full_ends_the_call_in_time(server: FakeBackend) -> None:
    def reply(data: bytes) -> Any:
        raise Refuse(Code.RESOURCE_EXHAUSTED, "no room here")

    server.reply = reply
    (error,) = detect(f"grpc://{server.target}", picture(), timeout_s=0.5)
    assert type(error) is Unavailable
    assert "no room here" in str(error)
    assert 2 <= len(server.pictures) <= 5  # with growing pauses


def test_a_damaged_picture_costs_its_neighbours_nothing(server: FakeBackend) -> None:
    """The server refuses a batch as a whole; only calls for other outputs are apart from it."""
    good, damaged = picture(400, 400, quality=95), picture(400, 400, quality=95)[:3000]

    def reply(data: bytes) -> Any:
        if not server.filters[-1] or data == damaged:
            raise Refuse(Code.INVALID_ARGUMENT, "{{function_node DecodeJpeg}} Invalid JPEG")
        response = answer([DOG])
        del response.outputs["num_detections"]
        return response

    server.reply = reply
    for _ in range(3):
        first, second = (
            detect(f"grpc://{server.target}", good),
            detect(f"grpc://{server.target}", damaged),
        )
        assert len(only(first).detections) == 1
        assert isinstance(second[0], InvalidPicture)
        assert str(second[0]) == "The picture's data is damaged or ends early."


def test_what_the_model_does_wrong_is_no_fault_of_the_picture(server: FakeBackend) -> None:
    words = "input alias 'image' not found in signature"
    for reply, sentence in (
        (Refuse(Code.INVALID_ARGUMENT, words), "does not have a detector's signature"),
        (Refuse(Code.INVALID_ARGUMENT, "heads are not finite"), "NaN or infinity"),
        (Refuse(Code.UNIMPLEMENTED), "not a TensorFlow Serving prediction server"),
        (answer([("dog", 1, 0.5, (float("nan"), 0.0, 1.0, 1.0))]), "not numbers"),
        (answer([("dog", 1, 1.5, (0.0, 0.0, 1.0, 1.0))]), "not numbers"),
        (real.PredictResponse(), "does not have a detector's signature"),
        (b"\xff\xff", "not a TensorFlow Serving prediction server"),
    ):

        def answer_with(data: bytes, reply: Any = reply) -> Any:
            if isinstance(reply, Refuse):
                raise reply
            return reply

        server.reply = answer_with
        (error,) = detect(f"grpc://{server.target}", picture())
        assert isinstance(error, UnexpectedAnswer), error
        assert sentence in str(error)


def test_a_message_over_the_servers_limit_is_the_pictures_error(server: FakeBackend) -> None:
    words = "SERVER: Received message larger than max (9000000 vs. 4194304)"

    def reply(data: bytes) -> Any:
        raise Refuse(Code.RESOURCE_EXHAUSTED, words)

    server.reply = reply
    (error,) = detect(f"grpc://{server.target}", picture())
    assert isinstance(error, InvalidPicture)
    assert "9000000 vs. 4194304" in str(error)


def test_an_answer_over_the_clients_limit_is_not_a_detectors(server: FakeBackend) -> None:
    response = answer([DOG])
    response.outputs["heads"].tensor_content = bytes(2_000_000)
    server.reply = lambda data: response
    (error,) = detect(f"grpc://{server.target}", picture())
    assert isinstance(error, UnexpectedAnswer)


def test_no_server_and_a_model_that_is_not_there(server: FakeBackend) -> None:
    with pytest.raises(ConnectionFailed, match="cannot be reached"):
        model(f"grpc://127.0.0.1:{free_port()}", 2)
    server.state = real.ModelVersionStatus.LOADING
    with pytest.raises(Unavailable, match="No version of model 'yolov4' is available"):
        model(f"grpc://{server.target}", 2)
    server.delay_s = 4
    server.state = real.ModelVersionStatus.AVAILABLE
    server.class_names = None
    (error,) = detect(f"grpc://{server.target}", picture(), timeout_s=2)
    assert isinstance(error, DeadlineExceeded)


def test_tls(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    cert, key = files.identity("worker")
    with FakeBackend(credentials=files.server(mutual=True)) as server:
        address = f"localhost:{server.port}"
        mutual = TLS(files.ca, cert, key)
        only(detect(f"grpcs://{address}", picture(), tls=mutual))
        for wrong in (f"grpc://{address}", f"grpcs://127.0.0.1:{server.port}"):
            tls = mutual if wrong.startswith("grpcs") else TLS()
            (error,) = detect(wrong, picture(), tls=tls, timeout_s=0.5)
            assert isinstance(error, ConnectionFailed)
        (error,) = detect(f"grpcs://{address}", picture(), tls=TLS(files.ca), timeout_s=0.5)
        assert isinstance(error, ConnectionFailed)


@pytest.mark.parametrize(
    ("address", "tls", "sentence"),
    [
        ("localhost:8500", TLS(), "give grpc://host:port"),
        ("http://localhost:8500", TLS(), "give grpc://host:port"),
        ("grpc://localhost", TLS(), "give grpc://host:port"),
        ("grpc://localhost:1", TLS(Path("ca.pem")), "certificates need grpcs://"),
        ("grpcs://localhost:1", TLS(Path("/nowhere/ca.pem")), "/nowhere/ca.pem: No such file"),
        ("grpcs://localhost:1", TLS(cert=Path("cert.pem")), "--tls-cert and --tls-key go together"),
    ],
)
def test_wrong_addresses(address: str, tls: TLS, sentence: str) -> None:
    with pytest.raises(Stop, match=sentence):
        detect(address, picture(), tls=tls)
