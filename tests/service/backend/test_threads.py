"""Calls that a model server refuses for want of gRPC threads."""

import asyncio

import grpc
import pytest

from service.backend import messages as m
from service.backend.client import TFServing
from service.core import errors, logs
from tests.service.backend.calls import MODEL, RETRIES, STABLE, call, refuses, twice
from tests.support.fakes.fake_backend import FakeBackend, Refuse


def thread_warnings(backend: FakeBackend, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The log lines that name the flag; lines of other tests may still arrive here."""
    assert logs.flush()
    lines = capfd.readouterr().err.splitlines()
    return [line for line in lines if "grpc_max_threads" in line and backend.target in line]


THREADS = refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")


def test_call_refused_for_want_of_threads_is_retried_at_another_server() -> None:
    with FakeBackend(reply=THREADS) as busy, FakeBackend() as idle:
        _, registry = call(f"{idle.target},{busy.target}", twice)
        assert (len(busy.pictures), len(idle.pictures)) == (2, 2)  # still in turn: it is alive
        ejected = registry.get_sample_value(
            "detect_backend_ejected", {**STABLE, "backend": busy.target}
        )
    assert (registry.get_sample_value(RETRIES, MODEL), ejected) == (2, 0)


def test_call_refused_for_want_of_threads_is_full_if_there_is_no_other_server(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def refused(serving: TFServing) -> None:
        for _ in range(3):
            with pytest.raises(errors.Full, match="no free gRPC thread"):
                await serving.predict(b"", 5)

    with FakeBackend(reply=THREADS) as busy:
        _, registry = call(busy.target, refused)
        assert len(busy.pictures) == 3
    assert registry.get_sample_value(RETRIES, MODEL) == 0
    lines = thread_warnings(busy, capfd)
    assert len(lines) == 1  # not one for each call
    assert '"level":"warning"' in lines[0]
    assert "gateways x models x (DETECT_MAX_IN_FLIGHT + 1) + 1" in lines[0]
    assert "Server Threadpool Exhausted" in lines[0]


def test_ejected_server_gets_no_retry_of_a_call_refused_for_want_of_threads() -> None:
    loading = m.ModelVersionStatus.LOADING
    with FakeBackend(reply=THREADS) as busy, FakeBackend(state=loading) as other:

        async def refused(serving: TFServing) -> None:
            await serving.version(5)
            await asyncio.sleep(0.2)  # the other health check ends
            with pytest.raises(errors.Full):
                await serving.predict(b"", 5)

        call(f"{other.target},{busy.target}", refused)
        assert (len(busy.pictures), len(other.pictures)) == (1, 0)


def test_health_check_refused_for_want_of_threads_keeps_the_last_result(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with FakeBackend() as backend:

        async def check(serving: TFServing) -> None:
            backend.status_refusal = Refuse(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"
            )
            with pytest.raises(errors.Full):  # nothing is known of it yet
                await serving.version(5)
            backend.status_refusal = None
            assert await serving.version(5) == 3
            backend.status_refusal = Refuse(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"
            )
            for _ in range(3):
                assert await serving.version(5) == 3
            backend.status_refusal = Refuse(grpc.StatusCode.UNAVAILABLE)
            with pytest.raises(errors.NoBackend):
                await serving.version(5)

        _, registry = call(backend.target, check)
        ejected = registry.get_sample_value(
            "detect_backend_ejected", {**STABLE, "backend": backend.target}
        )
    assert ejected == 1  # by the last one only
    assert len(thread_warnings(backend, capfd)) == 1
