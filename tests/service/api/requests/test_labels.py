"""The query's labels against those of the served model, also through a real gateway."""

from collections.abc import Iterator

import pytest

from service.api.requests.labels import check
from service.backend import messages as m
from service.core.errors import BadParameter
from service.detection.models import ModelInfo
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

OLD, NEW = ModelInfo(1, ("dog", "cat")), ModelInfo(2, ("dog", "Motorbike"))
UNTOLD = ModelInfo(3)


def test_a_label_of_any_served_version_is_accepted() -> None:
    check(["dog", "cat", "Motorbike"], [OLD, NEW])
    check([], [OLD])
    with pytest.raises(BadParameter, match="'Motorbike' is not a label of this model, which has 2"):
        check(["dog", "Motorbike"], [OLD])


@pytest.mark.parametrize("models", [[], [UNTOLD], [OLD, UNTOLD]])
def test_where_the_labels_are_not_known_none_is_rejected(models: list[ModelInfo]) -> None:
    check(["unicorn"], models)


@pytest.mark.parametrize("asked", ["motorbikes", "MOTORBIKE", " motorbike", "motor bike"])
def test_the_nearest_label_comes_first(asked: str) -> None:
    with pytest.raises(BadParameter, match="nearest are 'Motorbike', "):
        check([asked], [NEW])


def test_what_is_quoted_is_short() -> None:
    with pytest.raises(BadParameter) as error:
        check(["x" * 30_000, "y"], [NEW])
    assert len(str(error.value)) < 250


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(class_names=("dog", "cat", "mouse", "bicycle", "ö")) as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(backend=backend.target, ready_interval_s=0.05) as process:
        wait_for(lambda: process.metric("detect_backend_ready") == 1)
        yield process


def status(gateway: GatewayProcess, query: str, path: str = "/detect") -> int:
    return gateway.http.post(f"{path}?{query}", files={"image": picture()}).status_code


@pytest.mark.parametrize("path", ["/detect", "/detect/batch"])
def test_an_unknown_label_is_rejected_before_any_work(
    gateway: GatewayProcess, backend: FakeBackend, path: str
) -> None:
    backend.pictures.clear()
    url = f"{path}?label=dog&label=bycicle"
    response = gateway.http.post(url, files={"image": picture()})
    assert response.status_code == 422
    assert response.json()["type"] == "urn:problem:bad-parameter"
    assert response.json()["detail"].startswith(
        "label: 'bycicle' is not a label of this model, which has 5; the nearest are 'bicycle', "
    )
    assert backend.pictures == []
    assert status(gateway, "label=dog&label=ö", path) == 200


def test_a_new_version_brings_its_labels(gateway: GatewayProcess, backend: FakeBackend) -> None:
    assert status(gateway, "label=unicorn") == 422
    backend.class_names, backend.version = ("unicorn",), 4
    wait_for(lambda: status(gateway, "label=unicorn") == 200)
    assert status(gateway, "label=dog") == 422
    backend.class_names, backend.version = None, 5  # exported without the signature
    wait_for(lambda: status(gateway, "label=dog") == 200)
    assert status(gateway, "label=unicorn") == 200


def test_while_the_model_server_is_away_no_label_is_rejected(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    backend.class_names, backend.version = ("dog",), 6
    wait_for(lambda: status(gateway, "label=unicorn") == 422)
    backend.state = m.ModelVersionStatus.LOADING
    wait_for(lambda: status(gateway, "label=unicorn") == 200)
    backend.state = m.ModelVersionStatus.AVAILABLE
    wait_for(lambda: status(gateway, "label=unicorn") == 422)
