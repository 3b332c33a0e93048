"""The model server's answers and refusals, over a real channel."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry, Histogram

from service import errors
from service import messages as m
from service.detector import Prediction
from service.tfserving import ERRORS, TFServing, target
from tests.fake_backend import CAT, DOG, FakeBackend, Refuse, answer


def call(
    backend: str, use: Callable[[TFServing], Awaitable[Any]], version: int | None = None
) -> tuple[Any, CollectorRegistry]:
    registry = CollectorRegistry()
    seconds = Histogram("seconds", "", ["code"], registry=registry)

    async def run() -> Any:
        serving = TFServing(backend, "yolov4", version, seconds.labels)
        try:
            return await use(serving)
        finally:
            await serving.close()

    return asyncio.run(run()), registry


def predict(backend: str, timeout_s: float = 5) -> Prediction:
    found, _ = call(backend, lambda serving: serving.predict(b"jpeg", timeout_s))
    assert isinstance(found, Prediction)
    return found


@pytest.mark.parametrize("raw", [False, True])
def test_both_ways_a_server_may_send_numbers(raw: bool) -> None:
    with FakeBackend(reply=lambda _: answer([DOG, CAT], raw=raw)) as backend:
        found = predict(backend.target)
        assert backend.pictures == [b"jpeg"]
    assert (found.version, found.count) == (3, 2)
    assert list(found.boxes[:8]) == [*DOG[3], *CAT[3]]
    assert list(found.scores[:2]) == [DOG[2], CAT[2]]
    assert list(found.classes[:2]) == [16, 15]
    assert list(found.labels[:2]) == [b"dog", b"cat"]


def test_the_table_of_codes_is_total() -> None:
    assert set(ERRORS) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("code", ERRORS)
def test_each_code_becomes_its_error_and_the_servers_words_stay_its_cause(
    code: grpc.StatusCode,
) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(code)

    kind, sentence = ERRORS[code]
    with FakeBackend(reply=refuse) as backend, pytest.raises(kind) as caught:
        predict(backend.target)
    assert str(caught.value) == sentence
    assert caught.value.__cause__.details() == "words of the backend"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "words",
    [
        "input tensor alias not found in signature: image",
        "Signature input alias: input_1(input_1:0) not found in request's inputs",
        "Expects arg[0] to be float but string is provided",
    ],
)
def test_a_model_with_another_signature_is_not_the_pictures_fault(words: str) -> None:
    def refuse(_: bytes) -> Any:
        raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, words)

    with (
        FakeBackend(reply=refuse) as backend,
        pytest.raises(errors.BackendFailed, match="signature"),
    ):
        predict(backend.target)


def test_nobody_there_is_said_at_once() -> None:
    with pytest.raises(errors.NoBackend, match="cannot be reached"):
        predict("127.0.0.1:1")


def test_the_deadline_holds_and_the_code_is_counted() -> None:
    async def late(serving: TFServing) -> None:
        with pytest.raises(errors.DeadlineExceeded):
            await serving.predict(b"", 0.1)

    with FakeBackend(delay_s=1) as backend:
        _, registry = call(backend.target, late)
    assert registry.get_sample_value("seconds_count", {"code": "DEADLINE_EXCEEDED"}) == 1
    assert 0.1 <= (registry.get_sample_value("seconds_sum", {"code": "DEADLINE_EXCEEDED"}) or 0) < 1


def test_version_is_the_newest_available_one() -> None:
    with FakeBackend() as backend:
        assert call(backend.target, lambda s: s.version(5))[0] == 3
        backend.state = m.ModelVersionStatus.LOADING
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: LOADING\)"):
            call(backend.target, lambda s: s.version(5))


def test_several_addresses_are_one_target() -> None:
    assert target("dns:///models:8500") == "dns:///models:8500"
    assert target("10.0.0.1:8500, 10.0.0.2:8500") == "ipv4:10.0.0.1:8500,10.0.0.2:8500"
    with FakeBackend() as one, FakeBackend() as two:

        async def many(serving: TFServing) -> None:
            await serving.predict(b"", 5)  # until both are connected
            await asyncio.sleep(0.2)
            for _ in range(10):
                await serving.predict(b"", 5)

        call(f"{one.target},{two.target}", many)
        assert len(one.pictures) >= 5
        assert len(two.pictures) >= 5
