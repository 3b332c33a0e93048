"""GET /model: the properties of the served version, null where unknown."""

from typing import Any

import pytest

from service.backend import messages as m
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.gateway_process import GatewayProcess, wait_for

ABOUT = '{"input": {"width": 608, "height": 416}, "precision": "bfloat16", "target": "cpu"}'
NOTHING = {"labels": None, "input": None, "precision": None, "target": None}


@pytest.mark.parametrize(
    ("class_names", "about", "expected"),
    [
        (
            ("dog", "ö"),
            ABOUT,
            {
                "labels": ["dog", "ö"],
                "input": {"width": 608, "height": 416},
                "precision": "bfloat16",
                "target": "cpu",
            },
        ),
        (("dog",), "{}", NOTHING | {"labels": ["dog"]}),
        (None, "{}", NOTHING),
    ],
)
def test_the_model_as_it_describes_itself(
    class_names: tuple[str, ...] | None, about: str, expected: dict[str, Any]
) -> None:
    with (
        FakeBackend(class_names=class_names, about=about) as backend,
        GatewayProcess(backend=backend.target) as gateway,
    ):
        response = gateway.http.get("/model")
        assert response.json() == {"name": "yolov4", "version": 3, **expected}
        assert gateway.http.head("/model").status_code == 200


def test_without_a_model_server_there_is_no_model() -> None:
    with (
        FakeBackend(state=m.ModelVersionStatus.LOADING) as backend,
        GatewayProcess(backend=backend.target) as gateway,
    ):
        response = gateway.http.get("/model")
        assert (response.status_code, response.json()["type"]) == (503, "urn:problem:no-backend")
        backend.state = m.ModelVersionStatus.AVAILABLE
        wait_for(lambda: gateway.http.get("/model").status_code == 200)
