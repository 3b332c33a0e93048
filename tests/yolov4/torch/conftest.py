"""A narrow YOLOv4 as Darknet weights and as a state dict."""

import pytest

from tests.support.inputs.torch_state_dicts import Model, Tensors


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("narrow"))


@pytest.fixture
def tensors(model: Model) -> Tensors:
    return dict(model.tensors)
