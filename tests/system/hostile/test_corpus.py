"""Pictures that go wrong or nearly do, through the whole service: alone and among good ones.

The model server joins pictures of all callers, and TensorFlow fails a batch as a whole: what is
tested is that a damaged picture does not affect other callers.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.callers.caller import Answer, Caller
from tests.support.inputs.pictures import picture
from tests.support.oracles.opencv_oracle import iou
from tests.support.oracles.two_decoders import (
    expected_status,
    header_status,
    pillow_size,
    sent_as_it_is,
    tensorflow_size,
)
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.processes.whole_service import batching_flags, whole_service
from tests.support.project import DATA, NEEDS_DATA

BATCH = 8
BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""
if DATA is None:  # said once for all of them
    pytest.skip(NEEDS_DATA, allow_module_level=True)

FLOOR = 0.3  # of scores compared; asked for are those a little below too
MOVED = 0.01  # a score, by encoding the picture again
QUERY = f"?score_threshold={FLOOR - MOVED}"
GOOD = [picture(64 + 32 * n, 200 - 16 * n, quality=95) for n in range(BATCH - 1)]

Answers = list[Answer]


@pytest.fixture(scope="module")
def corpus(data: Path) -> dict[str, bytes]:
    folder = data / "jpeg-corpus"
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def gateway(
    small_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("batching")
    flags = (*batching_flags(folder, BATCHING), f"--grpc_max_threads={4 * BATCH}")
    with whole_service(folder, small_repository, "small", *flags, deadline_s=60) as (
        gateway,
        server,
    ):
        yield gateway
        assert server.process.poll() is None
        assert gateway.process.poll() is None


@pytest.fixture(scope="module")
def alone(gateway: GatewayProcess) -> Answers:
    """Responses to the intact pictures without other callers."""
    with closing(Caller(gateway.url)) as caller:
        answers = [caller.detect(good, QUERY) for good in GOOD]
    assert [status for status, _ in answers] == [200] * len(GOOD)
    assert all(above(body, FLOOR) for _, body in answers)
    return answers


def above(body: dict[str, Any], score: float) -> list[dict[str, Any]]:
    return [found for found in body["detections"] if found["score"] >= score]


def corners(found: dict[str, Any]) -> tuple[float, float, float, float]:
    box = found["box"]
    return box["x_min"], box["y_min"], box["x_max"], box["y_max"]


def missing(some: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """Detections of `some` that `other` does not have."""
    return [
        one
        for one in above(some, FLOOR)
        if not any(
            one["label"] == two["label"]
            and abs(one["score"] - two["score"]) <= MOVED
            and iou(corners(one), corners(two)) > 0.9
            for two in other["detections"]
        )
    ]


def assert_as_alone(name: str, found: Answers, alone: Answers) -> None:
    for (status, body), (_, right) in zip(found, alone, strict=True):
        assert status == 200, (name, body)
        assert body["image"] == right["image"], name
        assert missing(body, right) == missing(right, body) == [], name


def sampled(corpus: dict[str, bytes], every: int) -> dict[str, bytes]:
    return dict(list(corpus.items())[::every])


def bad_ones(corpus: dict[str, bytes]) -> dict[str, bytes]:
    """Those that the model refuses, and so every batch they are in."""
    return {name: data for name, data in corpus.items() if not tensorflow_size(data)}


sizes = pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])


@sizes
def test_each_alone(gateway: GatewayProcess, corpus: dict[str, bytes], every: int) -> None:
    some = sampled(corpus, every)
    assert len(some) == -(-len(corpus) // every) > 20
    wrong, statuses = [], set()
    for sender, (name, data) in enumerate(some.items()):
        with closing(Caller(gateway.url, sender=sender)) as caller:
            status, body = caller.detect(data)
        statuses.add(status)
        if status != expected_status(data) or status >= 500:
            wrong.append((name, status, expected_status(data), body))
    assert wrong == []
    assert {200, 400} <= statuses


def test_of_a_quarantined_sender_pillow_judges(
    gateway: GatewayProcess, corpus: dict[str, bytes]
) -> None:
    damaged = picture()[:400]
    with closing(Caller(gateway.url, sender=60_000)) as caller:
        for name, data in sampled(corpus, 13).items():
            assert caller.detect(damaged)[0] == 400
            expected = header_status(data) or (200 if pillow_size(data) else 400)
            assert caller.detect(data)[0] == expected, name


@sizes
def test_each_bad_one_among_seven_callers_with_good_ones(
    gateway: GatewayProcess, corpus: dict[str, bytes], alone: Answers, every: int
) -> None:
    bad = bad_ones(sampled(corpus, every))
    assert len(bad) > 5
    hazards = sum(map(sent_as_it_is, bad.values()))
    suspected = gateway.metric("detect_suspected_total")
    callers = [Caller(gateway.url) for _ in range(BATCH)]
    together = threading.Barrier(BATCH)

    def ask(caller: Caller, data: bytes) -> Answer:
        together.wait(60)
        return caller.detect(data, QUERY)

    with ThreadPoolExecutor(BATCH) as threads:
        for name, data in bad.items():
            first, *others = threads.map(ask, callers, [data, *GOOD])
            assert first[0] == expected_status(data), (name, first)
            assert_as_alone(name, others, alone)
    for caller in callers:
        caller.close()
    # That good ones were in batches with bad ones at all.
    assert gateway.metric("detect_suspected_total") - suspected >= hazards / 4


@sizes
def test_each_bad_one_among_seven_good_ones_of_one_batch(
    gateway: GatewayProcess, corpus: dict[str, bytes], alone: Answers, every: int
) -> None:
    for name, data in bad_ones(sampled(corpus, every)).items():
        files = [("image", one) for one in [*GOOD[:3], data, *GOOD[3:]]]
        response = gateway.http.post(f"/detect/batch{QUERY}", files=files)
        assert response.status_code == 200, (name, response.text)
        results = response.json()["results"]
        own = results.pop(3)
        assert own.get("error", {"status": 200})["status"] == expected_status(data), (name, own)
        found = [(one.get("error", {"status": 200})["status"], one) for one in results]
        assert_as_alone(name, found, alone)
