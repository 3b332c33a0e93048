"""Shadow traffic: matching of detections, what is dropped, and what callers see of it."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from grpc import StatusCode

from service.detection.models import Prediction
from service.detection.shadow import iou, match
from tests.support.fakes.fake_backend import CAT, DOG, FakeBackend, Refuse, Row, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

HEADERS = {"Content-Type": "image/jpeg"}
MOVED_DOG: Row = ("dog", 16, 0.5, (12.0, 20.5, 60.0, 90.0))
FAR_DOG: Row = ("dog", 16, 0.9, (200.0, 200.0, 260.0, 290.0))
WEAK_CAT: Row = ("cat", 15, 0.24, CAT[3])


def prediction(*rows: Row) -> Prediction:
    boxes = [side for row in rows for side in row[3]]
    labels = [row[0].encode() for row in rows]
    return Prediction(1, len(rows), boxes, [r[2] for r in rows], [r[1] for r in rows], labels)


@pytest.mark.parametrize(
    ("stable", "shadow", "expected"),
    [
        ([DOG, CAT], [DOG, CAT], ([(0.75, 0.75), (0.5, 0.5)], 0, 0)),
        ([DOG], [MOVED_DOG], ([(0.75, 0.5)], 0, 0)),
        ([DOG], [FAR_DOG], ([], 1, 1)),
        ([DOG], [("cat", 15, 0.75, DOG[3])], ([], 1, 1)),  # same box, another label
        ([DOG], [FAR_DOG, MOVED_DOG, DOG], ([(0.75, 0.75)], 0, 2)),  # one box, the nearest
        ([DOG, MOVED_DOG], [DOG], ([(0.75, 0.75)], 1, 0)),  # a box is matched once
        ([CAT], [WEAK_CAT], ([], 1, 0)),  # under the default threshold
        ([], [], ([], 0, 0)),
    ],
)
def test_detections_are_matched_by_label_and_overlap(
    stable: list[Row], shadow: list[Row], expected: Any
) -> None:
    assert asyncio.run(match(prediction(*stable), prediction(*shadow))) == expected


def test_intersection_over_union() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert iou((5, 5, 5, 5), (0, 0, 10, 10)) == 0  # a box without area


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    versions = {1: lambda _: answer([DOG, CAT], 1), 2: lambda _: answer([MOVED_DOG], 2)}
    with FakeBackend(versions=versions) as fake:
        yield fake


def images(gateway: GatewayProcess, outcome: str) -> float:
    return gateway.metric(f'detect_shadow_images_total{{outcome="{outcome}"}}')


def shadowed(backend: FakeBackend, **settings: object) -> GatewayProcess:
    return GatewayProcess(
        backend=backend.target,
        model_version="1",
        shadow="2:100",
        ready_interval_s=0.05,
        **settings,
    )


def post(gateway: GatewayProcess) -> Any:
    return gateway.http.post("/detect", content=picture(), headers=HEADERS)


def test_copies_are_compared_and_no_caller_sees_them(backend: FakeBackend) -> None:
    with shadowed(backend) as gateway:
        wait_for(lambda: gateway.metric("detect_backend_ready") == 2)
        files = [("image", picture()), ("image", picture())]
        assert gateway.http.post("/detect/batch", files=files).json()["results"][1]["model"] == {
            "name": "yolov4",
            "version": 1,
        }
        assert post(gateway).json()["model"]["version"] == 1
        wait_for(lambda: images(gateway, "compared") == 3)
        counts = [
            gateway.metric(f'detect_shadow_detections_total{{outcome="{outcome}"}}')
            for outcome in ("matched", "missing", "extra")
        ]
        assert counts == [3, 3, 0]
        assert gateway.metric("detect_shadow_score_difference_sum") == pytest.approx(0.75)
        assert gateway.metric('detect_images_total{track="shadow"}') == 0
        assert gateway.metric("detect_images_total") == 3
        assert gateway.metric("detect_backend_retries_total") == 0


def test_a_failing_or_slow_shadow_costs_callers_nothing(backend: FakeBackend) -> None:
    def fail(_: bytes) -> Any:
        raise Refuse(StatusCode.INTERNAL)

    def hang(_: bytes) -> Any:
        time.sleep(1.5)
        return answer([DOG], 2)

    with shadowed(backend, shadow_max_in_flight=2, deadline_s=1) as gateway:
        wait_for(lambda: gateway.metric("detect_backend_ready") == 2)
        backend.versions[2] = fail
        assert post(gateway).status_code == 200
        wait_for(lambda: images(gateway, "failed") == 1)
        backend.versions[2] = hang
        assert [post(gateway).status_code for _ in range(5)] == [200] * 5
        wait_for(lambda: images(gateway, "dropped") == 3)
        wait_for(lambda: images(gateway, "failed") == 3)  # after the deadline
        assert gateway.metric("detect_rejected_total") == 0
        assert gateway.metric('detect_in_flight{model="yolov4"}') == 0
        assert gateway.http.get("/readyz").status_code == 200
