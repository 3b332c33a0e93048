"""The client of the model servers: responses, errors, retries and health checks, over real gRPC."""

import asyncio
from typing import Any

import grpc
import pytest

from service.backend import messages as m
from service.backend.client import TFServing
from service.backend.status_codes import ERRORS
from service.core import errors
from service.detection.models import Prediction
from tests.service.backend.calls import MODEL, RETRIES, STABLE, call, refuses, twice
from tests.support.fakes.fake_backend import CAT, DOG, FakeBackend, Refuse, answer
from tests.support.project import free_port


def predict(backend: str, timeout_s: float = 5) -> Prediction:
    prediction, _ = call(backend, lambda serving: serving.predict(b"jpeg", timeout_s))
    assert isinstance(prediction, Prediction)
    return prediction


@pytest.mark.parametrize("raw", [False, True])
def test_typed_fields_and_raw_bytes_decode_alike(raw: bool) -> None:
    with FakeBackend(reply=lambda _: answer([DOG, CAT], raw=raw)) as backend:
        found = predict(backend.target)
        assert backend.pictures == [b"jpeg"]
    assert (found.version, found.count) == (3, 2)
    assert list(found.boxes[:8]) == [*DOG[3], *CAT[3]]
    assert list(found.scores[:2]) == [DOG[2], CAT[2]]
    assert list(found.classes[:2]) == [16, 15]
    assert list(found.labels[:2]) == [b"dog", b"cat"]


@pytest.mark.parametrize("code", ERRORS)
def test_each_status_code_becomes_its_error_with_the_servers_message_as_cause(
    code: grpc.StatusCode,
) -> None:
    kind, sentence = ERRORS[code]
    with FakeBackend(reply=refuses(code)) as backend, pytest.raises(kind) as caught:
        predict(backend.target)
    assert str(caught.value) == sentence
    assert caught.value.__cause__.details() == "words of the backend"  # type: ignore[union-attr]


def test_unreachable_server_fails_immediately() -> None:
    with pytest.raises(errors.NoBackend, match="cannot be reached"):
        predict("127.0.0.1:1")


def test_the_deadline_holds_and_the_code_is_counted() -> None:
    async def late(serving: TFServing) -> None:
        with pytest.raises(errors.DeadlineExceeded):
            await serving.predict(b"", 0.1)

    with FakeBackend(delay_s=1) as backend:
        _, registry = call(backend.target, late)
    sample, labels = (
        "detect_backend_duration_seconds",
        {**STABLE, "version": "", "code": "DEADLINE_EXCEEDED"},
    )
    assert registry.get_sample_value(f"{sample}_count", labels) == 1
    assert 0.1 <= (registry.get_sample_value(f"{sample}_sum", labels) or 0) < 1
    assert registry.get_sample_value(RETRIES, MODEL) == 0


def test_version_is_the_newest_available_one() -> None:
    with FakeBackend() as backend:
        assert call(backend.target, lambda s: s.version(5))[0] == 3
        backend.state = m.ModelVersionStatus.LOADING
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: LOADING\)"):
            call(backend.target, lambda s: s.version(5))


def test_unknown_state_and_invalid_status_are_reported() -> None:
    with FakeBackend() as backend:
        backend.state = 99  # of a later TensorFlow Serving
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: 99\)"):
            call(backend.target, lambda s: s.version(5))
        backend.status = b"\xff"
        with pytest.raises(errors.BackendFailed, match="not a TensorFlow Serving"):
            call(backend.target, lambda s: s.version(5))


def test_calls_go_to_the_least_loaded_server() -> None:
    with FakeBackend(delay_s=1) as slow, FakeBackend(delay_s=0.01) as quick:

        async def many(serving: TFServing) -> None:
            await serving.version(5)
            first = asyncio.gather(*(serving.predict(b"first", 20) for _ in range(4)))
            await asyncio.sleep(0.3)
            for _ in range(10):
                await serving.predict(b"then", 20)
            await first

        call(f"{slow.target}, {quick.target}", many)
        assert slow.pictures == [b"first"] * 2
        assert quick.pictures == [b"first"] * 2 + [b"then"] * 10


def test_unreachable_target_is_ejected_until_its_health_check_succeeds() -> None:
    port = free_port()
    with FakeBackend() as here:

        async def without(serving: TFServing) -> None:
            for _ in range(10):
                await serving.predict(b"", 5)
            assert len(here.pictures) == 10
            with FakeBackend(port=port) as there:
                for _ in range(4):
                    await serving.predict(b"", 5)
                assert there.pictures == []
                for _ in range(50):  # the connection's back-off, which is a second at most
                    await serving.version(1)
                    await asyncio.sleep(0.1)
                for _ in range(4):
                    await serving.predict(b"", 5)
                assert len(there.pictures) == 2

        _, registry = call(f"127.0.0.1:{port},{here.target}", without)
    assert registry.get_sample_value(RETRIES, MODEL) == 1  # only the first call went there


def test_call_to_an_unreachable_server_is_retried_at_another() -> None:
    with FakeBackend(reply=refuses(grpc.StatusCode.UNAVAILABLE)) as gone, FakeBackend() as here:
        _, registry = call(f"{gone.target},{here.target}", lambda s: twice(s))
        assert (len(gone.pictures), len(here.pictures)) == (1, 2)
        assert registry.get_sample_value(RETRIES, MODEL) == 1


def test_the_only_target_is_retried_after_a_delay() -> None:
    def first_refuses(picture: bytes) -> Any:
        if len(backend.pictures) == 1:
            raise Refuse(grpc.StatusCode.UNAVAILABLE)
        return answer([DOG])

    with FakeBackend(reply=first_refuses) as backend:
        found, registry = call(backend.target, lambda s: s.predict(b"", 5))
        assert found.count == 1
        assert len(backend.pictures) == 2
    assert registry.get_sample_value(RETRIES, MODEL) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ""),
        (grpc.StatusCode.INTERNAL, ""),
        (grpc.StatusCode.INVALID_ARGUMENT, ""),
        (
            grpc.StatusCode.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; currently 2",
        ),
    ],
)
def test_server_that_answered_is_neither_retried_nor_ejected(
    code: grpc.StatusCode, words: str
) -> None:
    async def once(serving: TFServing) -> None:
        with pytest.raises(errors.DetectError):
            await serving.predict(b"", 5)

    with FakeBackend(reply=refuses(code, words)) as one, FakeBackend() as two:
        _, registry = call(f"{two.target},{one.target}", once)
        assert (len(one.pictures), len(two.pictures)) == (1, 0)
        ejected = registry.get_sample_value(
            "detect_backend_ejected", {**STABLE, "backend": one.target}
        )
        assert ejected == registry.get_sample_value(RETRIES, MODEL) == 0


def test_no_retry_after_the_deadline() -> None:
    async def late(serving: TFServing) -> None:
        with pytest.raises(errors.NoBackend):
            await serving.predict(b"", 0.04)  # the pause alone takes longer

    _, registry = call(f"127.0.0.1:{free_port()}", late)
    assert registry.get_sample_value(RETRIES, MODEL) == 0


def test_retry_budget_bounds_the_calls_of_an_outage() -> None:
    async def outage(serving: TFServing) -> None:
        for _ in range(100):
            with pytest.raises(errors.NoBackend):
                await serving.predict(b"", 5)

    with (
        FakeBackend(reply=refuses(grpc.StatusCode.UNAVAILABLE)) as one,
        FakeBackend(reply=refuses(grpc.StatusCode.UNAVAILABLE)) as two,
    ):
        _, registry = call(f"{one.target},{two.target}", outage, max_in_flight=4)
        retries = registry.get_sample_value(RETRIES, MODEL) or 0
        assert len(one.pictures) + len(two.pictures) == 100 + retries
    assert retries == 13  # a burst of 4, and one for every ten calls thereafter


def test_one_available_server_is_enough_for_readiness() -> None:
    with FakeBackend() as good, FakeBackend() as loading, FakeBackend(status_delay_s=2) as slow:
        loading.state = m.ModelVersionStatus.LOADING
        three = f"{loading.target},{slow.target},{good.target}"

        async def ready(serving: TFServing) -> None:
            assert await asyncio.wait_for(serving.version(1.5), 1) == 3
            await asyncio.sleep(2)  # the health check of the slow server continues, and fails

        _, registry = call(three, ready)
        ejected = [
            registry.get_sample_value(
                "detect_backend_ejected", {**STABLE, "backend": backend.target}
            )
            for backend in (loading, slow, good)
        ]
        assert ejected == [1, 1, 0]
        good.state = m.ModelVersionStatus.UNLOADING
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: LOADING|3: UNLOADING\)"):
            call(three, lambda serving: serving.version(1))


def test_ejected_servers_are_called_if_there_is_no_other() -> None:
    loading = m.ModelVersionStatus.LOADING
    with FakeBackend(state=loading) as one, FakeBackend(state=loading) as two:

        async def anyway(serving: TFServing) -> None:
            with pytest.raises(errors.NoBackend):
                await serving.version(5)
            await serving.predict(b"", 5)
            await serving.predict(b"", 5)

        call(f"{one.target},{two.target}", anyway)
        assert (len(one.pictures), len(two.pictures)) == (1, 1)
