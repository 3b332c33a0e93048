"""The blocking client against the real gateway."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from detect_client import (
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    DetectError,
    InvalidParameter,
    InvalidPicture,
    Result,
    Unavailable,
    UnexpectedAnswer,
)
from detect_client.results import Box, Detection

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.fakes.http_server import Answer, HttpServer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import free_port


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as backend:
        yield backend


@pytest.fixture(scope="module")
def client(backend: FakeBackend) -> Iterator[Client]:
    with GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        with Client(gateway.url, timeout_s=20) as client:
            yield client


def test_one_picture(client: Client) -> None:
    data = picture()
    result = client.detect(data)
    assert (result.width, result.height) == (64, 48)
    assert (result.model, result.version) == ("yolov4", 3)
    dog = Detection("dog", 16, 0.75, Box(10.25, 20.5, 60.0, 48.0))
    assert result.detections[0] == dog
    assert (dog.box.width, dog.box.height) == (49.75, 27.5)
    assert len(result.request_id) == 32
    assert result.timings_ms["total"] >= result.timings_ms["backend"] > 0
    assert result.picture == data


def test_parameters_reach_the_service(client: Client) -> None:
    labels = [d.label for d in client.detect(picture(), score_threshold=0.1).detections]
    assert labels == ["dog", "cat", "mouse"]
    assert [d.label for d in client.detect(picture(), max_detections=1).detections] == ["dog"]
    assert [d.label for d in client.detect(picture(), labels=["cat"]).detections] == ["cat"]


def test_every_kind_of_picture(client: Client) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert client.detect(picture(kind=kind)).detections


def test_errors_carry_the_services_detail(client: Client) -> None:
    with pytest.raises(InvalidPicture, match="not a picture") as bad:
        client.detect(b"rubbish")
    assert (bad.value.status, bad.value.kind) == (400, "bad-picture")
    assert len(bad.value.request_id) == 32
    with pytest.raises(InvalidParameter, match="score_threshold") as wrong:
        client.detect(picture(), score_threshold=2)
    assert wrong.value.status == 422
    with pytest.raises(InvalidPicture, match="GIF"):
        client.detect(b"GIF89a" + bytes(20))


def test_a_batch(client: Client) -> None:
    first, bad, last = client.detect_batch([picture(), b"rubbish", picture(32, 32)])
    assert isinstance(first, Result)
    assert isinstance(bad, InvalidPicture)
    assert isinstance(last, Result)
    assert (first.width, last.width) == (64, 32)
    assert bad.status == 400


def test_many_keep_their_order_and_a_bounded_number_in_flight(client: Client) -> None:
    taken, lock = 0, threading.Lock()

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            with lock:
                taken += 1
            yield picture(16 + taken, 16)

    many = client.detect_many(endless(), in_flight=3)
    widths = []
    for result in many:
        assert isinstance(result, Result)
        widths.append(result.width)
        assert taken <= len(widths) + 3
        if len(widths) == 20:
            break
    assert widths == list(range(17, 37))
    many.close()  # type: ignore[attr-defined]


def test_many_with_errors_in_their_places(client: Client) -> None:
    pictures = [picture(), b"bad", picture()]
    kinds = [type(a) for a in client.detect_many(pictures, return_errors=True)]
    assert kinds == [Result, InvalidPicture, Result]
    with pytest.raises(InvalidPicture):
        list(client.detect_many(pictures))
    with pytest.raises(ValueError, match="in_flight"):
        next(client.detect_many(pictures, in_flight=0))


def test_a_gateway_that_restarts_under_many_loses_nothing(backend: FakeBackend) -> None:
    port = free_port()
    answered: list[int] = []
    with Client(f"http://127.0.0.1:{port}", timeout_s=60) as client:

        def run() -> None:
            for result in client.detect_many(
                (picture(16 + i, 16) for i in range(600)), in_flight=4
            ):
                assert isinstance(result, Result)
                answered.append(result.width)

        def reached(count: int) -> bool:
            return len(answered) >= count

        thread = threading.Thread(target=run)
        for restart in range(3):
            with GatewayProcess(backend=backend.target, port=port) as gateway:
                if not restart:
                    thread.start()
                wait_for(partial(reached, 150 * (restart + 1)), 60)
                if restart == 1:
                    gateway.process.kill()
        with GatewayProcess(backend=backend.target, port=port):
            thread.join(60)
    assert answered == [16 + i for i in range(600)]


def test_a_full_service_is_retried_after_its_retry_after() -> None:
    problem = b'{"type": "urn:problem:full", "detail": "Try later.", "status": 503}'
    good = (
        b'{"model": {"name": "m", "version": 1}, "image": {"width": 1, "height": 1},'
        b' "detections": []}'
    )
    replies = [(503, {"Retry-After": "1"}, problem), (200, {}, good)]
    with HttpServer(lambda _: replies.pop(0)) as server, Client(server.url) as client:
        started = time.monotonic()
        assert client.detect(picture()).detections == []
        assert time.monotonic() - started >= 1
        assert len(server.requests) == 2
        budgets = [int(r.headers["x-timeout-ms"]) for r in server.requests]
        assert 60_000 >= budgets[0] > budgets[1] + 900


def test_a_service_that_stays_full_raises_with_its_detail() -> None:
    problem = b'{"type": "urn:problem:full", "detail": "Try later.", "status": 503}'
    with HttpServer(lambda _: (503, {"Retry-After": "30"}, problem)) as server:
        with (
            Client(server.url, timeout_s=5) as client,
            pytest.raises(Unavailable, match=r"^Try later\.$") as error,
        ):
            client.detect(picture())
        assert error.value.retry_after_s == 30
        assert len(server.requests) == 1  # waiting would be in vain


def test_a_service_that_hangs_costs_no_more_than_the_timeout() -> None:
    release = threading.Event()

    def hang(_: object) -> None:
        release.wait(20)

    with HttpServer(hang) as server, Client(server.url, timeout_s=0.5) as client:
        try:
            with pytest.raises(DeadlineExceeded):
                client.detect(picture())
        finally:
            release.set()


def test_a_broken_connection_is_tried_again() -> None:
    good = (
        b'{"model": {"name": "m", "version": 1}, "image": {"width": 1, "height": 1},'
        b' "detections": []}'
    )
    replies: list[Answer | None] = [None, None, (200, {}, good)]
    with HttpServer(lambda _: replies.pop(0)) as server, Client(server.url) as client:
        assert client.detect(picture()).detections == []


def test_nothing_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Client(url, timeout_s=0.3) as client,
        pytest.raises(ConnectionFailed, match=f"{url} cannot be reached"),
    ):
        client.detect(picture())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"<html>nothing here</html>", UnexpectedAnswer),
        (200, b"<html>hello</html>", UnexpectedAnswer),
        (200, b'{"predictions": []}', UnexpectedAnswer),
        (200, b"[]", UnexpectedAnswer),
        (413, b"<html>nginx</html>", InvalidPicture),
        (504, b"", DeadlineExceeded),
    ],
)
def test_other_peoples_answers(status: int, body: bytes, kind: type[DetectError]) -> None:
    with HttpServer(lambda _: (status, {}, body)) as server, Client(server.url) as client:
        with pytest.raises(kind) as error:
            client.detect(picture())
        assert error.value.status in (status, None)
        if b"nginx" in body:
            assert "nginx" in str(error.value)


def test_a_model_by_its_name() -> None:
    with (
        FakeBackend(others={"voc": FakeBackend(version=7)}) as backend,
        GatewayProcess(backend=backend.target, models="coco,voc") as gateway,
    ):
        for name, version in ((None, 3), ("coco", 3), ("voc", 3)):
            with Client(f"{gateway.url}/", model=name, timeout_s=20) as client:
                result = client.detect(picture())
                assert (result.model, result.version) == (name or "coco", version)
                (row,) = client.detect_batch([picture()])
                assert isinstance(row, Result)
                assert row.model == (name or "coco")
        with (
            Client(gateway.url, model="a/b c", timeout_s=20) as client,
            pytest.raises(DetectError, match="Not Found"),
        ):
            client.detect(picture())


def test_the_key_is_a_bearer_token() -> None:
    with HttpServer(lambda _: (401, {}, b'{"detail": "no"}')) as server:
        with Client(server.url, key="secret") as client, pytest.raises(DetectError):
            client.detect(picture())
        assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_closing_ends_a_wait() -> None:
    with HttpServer(lambda _: (503, {"Retry-After": "40"}, b"{}")) as server:
        client = Client(server.url)
        threading.Timer(0.3, client.close).start()
        started = time.monotonic()
        with pytest.raises(ConnectionFailed, match="closed"):
            client.detect(picture())
        assert time.monotonic() - started < 20
