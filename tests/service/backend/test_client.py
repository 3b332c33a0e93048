"""The model servers' answers and refusals, over real channels."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from service import errors
from service.backend import messages as m
from service.backend.client import TFServing
from service.backend.status_codes import ERRORS
from service.detection.models import Prediction
from service.metrics import Metrics
from service.settings import Settings
from tests.support.fake_backend import CAT, DOG, FakeBackend, Refuse, answer
from tests.support.project import free_port

RETRIES = "detect_backend_retries_total"


def call(
    backend: str, use: Callable[[TFServing], Awaitable[Any]], **settings: Any
) -> tuple[Any, CollectorRegistry]:
    metrics = Metrics()

    async def run() -> Any:
        serving = TFServing(Settings(backend=backend, **settings), metrics)
        try:
            return await use(serving)
        finally:
            await serving.close()

    return asyncio.run(run()), metrics.registry


def predict(backend: str, timeout_s: float = 5) -> Prediction:
    found, _ = call(backend, lambda serving: serving.predict(b"jpeg", timeout_s))
    assert isinstance(found, Prediction)
    return found


def refuses(code: grpc.StatusCode, words: str = "words of the backend") -> Callable[[bytes], Any]:
    def reply(_: bytes) -> Any:
        raise Refuse(code, words)

    return reply


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


@pytest.mark.parametrize("code", ERRORS)
def test_each_code_becomes_its_error_and_the_servers_words_stay_its_cause(
    code: grpc.StatusCode,
) -> None:
    kind, sentence = ERRORS[code]
    with FakeBackend(reply=refuses(code)) as backend, pytest.raises(kind) as caught:
        predict(backend.target)
    assert str(caught.value) == sentence
    assert caught.value.__cause__.details() == "words of the backend"  # type: ignore[union-attr]


def test_nobody_there_is_said_at_once() -> None:
    with pytest.raises(errors.NoBackend, match="cannot be reached"):
        predict("127.0.0.1:1")


def test_the_deadline_holds_and_the_code_is_counted() -> None:
    async def late(serving: TFServing) -> None:
        with pytest.raises(errors.DeadlineExceeded):
            await serving.predict(b"", 0.1)

    with FakeBackend(delay_s=1) as backend:
        _, registry = call(backend.target, late)
    sample, labels = "detect_backend_duration_seconds", {"code": "DEADLINE_EXCEEDED"}
    assert registry.get_sample_value(f"{sample}_count", labels) == 1
    assert 0.1 <= (registry.get_sample_value(f"{sample}_sum", labels) or 0) < 1
    assert registry.get_sample_value(RETRIES) == 0


def test_version_is_the_newest_available_one() -> None:
    with FakeBackend() as backend:
        assert call(backend.target, lambda s: s.version(5))[0] == 3
        backend.state = m.ModelVersionStatus.LOADING
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: LOADING\)"):
            call(backend.target, lambda s: s.version(5))


def test_what_is_no_status_is_said_and_not_fallen_over() -> None:
    with FakeBackend() as backend:
        backend.state = 99  # of a later TensorFlow Serving
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: 99\)"):
            call(backend.target, lambda s: s.version(5))
        backend.status = b"\xff"
        with pytest.raises(errors.BackendFailed, match="not a TensorFlow Serving"):
            call(backend.target, lambda s: s.version(5))


def test_the_least_busy_of_several_is_asked() -> None:
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


def test_a_target_that_cannot_be_reached_is_left_out_until_a_look_at_it_succeeds() -> None:
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
    assert registry.get_sample_value(RETRIES) == 1  # only the first call went there


def test_a_call_that_another_can_answer_is_made_there_once() -> None:
    with FakeBackend(reply=refuses(grpc.StatusCode.UNAVAILABLE)) as gone, FakeBackend() as here:
        _, registry = call(f"{gone.target},{here.target}", lambda s: twice(s))
        assert (len(gone.pictures), len(here.pictures)) == (1, 2)
        assert registry.get_sample_value(RETRIES) == 1


async def twice(serving: TFServing) -> None:
    await serving.predict(b"", 5)
    await serving.predict(b"", 5)


def test_the_only_target_is_asked_again_a_little_later() -> None:
    def first_refuses(picture: bytes) -> Any:
        if len(backend.pictures) == 1:
            raise Refuse(grpc.StatusCode.UNAVAILABLE)
        return answer([DOG])

    with FakeBackend(reply=first_refuses) as backend:
        found, registry = call(backend.target, lambda s: s.predict(b"", 5))
        assert found.count == 1
        assert len(backend.pictures) == 2
    assert registry.get_sample_value(RETRIES) == 1


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
def test_whoever_answered_is_not_asked_again_nor_left_out(
    code: grpc.StatusCode, words: str
) -> None:
    async def once(serving: TFServing) -> None:
        with pytest.raises(errors.DetectError):
            await serving.predict(b"", 5)

    with FakeBackend(reply=refuses(code, words)) as one, FakeBackend() as two:
        _, registry = call(f"{two.target},{one.target}", once)
        assert (len(one.pictures), len(two.pictures)) == (1, 0)
        ejected = registry.get_sample_value("detect_backend_ejected", {"backend": one.target})
        assert ejected == registry.get_sample_value(RETRIES) == 0


def test_no_time_left_no_retry() -> None:
    async def late(serving: TFServing) -> None:
        with pytest.raises(errors.NoBackend):
            await serving.predict(b"", 0.04)  # the pause alone takes longer

    _, registry = call(f"127.0.0.1:{free_port()}", late)
    assert registry.get_sample_value(RETRIES) == 0


def test_an_outage_is_not_doubled() -> None:
    async def outage(serving: TFServing) -> None:
        for _ in range(100):
            with pytest.raises(errors.NoBackend):
                await serving.predict(b"", 5)

    with (
        FakeBackend(reply=refuses(grpc.StatusCode.UNAVAILABLE)) as one,
        FakeBackend(reply=refuses(grpc.StatusCode.UNAVAILABLE)) as two,
    ):
        _, registry = call(f"{one.target},{two.target}", outage, max_in_flight=4)
        retries = registry.get_sample_value(RETRIES) or 0
        assert len(one.pictures) + len(two.pictures) == 100 + retries
    assert retries == 13  # a burst of 4, and one for every ten calls thereafter


def test_one_that_is_available_is_enough_to_be_ready_and_does_not_wait_for_the_others() -> None:
    with FakeBackend() as good, FakeBackend() as loading, FakeBackend(status_delay_s=2) as slow:
        loading.state = m.ModelVersionStatus.LOADING
        three = f"{loading.target},{slow.target},{good.target}"

        async def ready(serving: TFServing) -> None:
            assert await asyncio.wait_for(serving.version(1.5), 1) == 3
            await asyncio.sleep(2)  # the look at the slow one goes on, and fails

        _, registry = call(three, ready)
        ejected = [
            registry.get_sample_value("detect_backend_ejected", {"backend": backend.target})
            for backend in (loading, slow, good)
        ]
        assert ejected == [1, 1, 0]
        good.state = m.ModelVersionStatus.UNLOADING
        with pytest.raises(errors.NoBackend, match=r"AVAILABLE \(3: LOADING|3: UNLOADING\)"):
            call(three, lambda serving: serving.version(1))


def test_all_out_are_asked_all_the_same() -> None:
    loading = m.ModelVersionStatus.LOADING
    with FakeBackend(state=loading) as one, FakeBackend(state=loading) as two:

        async def anyway(serving: TFServing) -> None:
            with pytest.raises(errors.NoBackend):
                await serving.version(5)
            await serving.predict(b"", 5)
            await serving.predict(b"", 5)

        call(f"{one.target},{two.target}", anyway)
        assert (len(one.pictures), len(two.pictures)) == (1, 1)
