"""HandleReloadConfigRequest: models, version policies and labels."""

from pathlib import Path

from tensorflow_serving.apis import model_management_pb2

from tests.conformance.calls import Code, X, refusal
from tests.conformance.case import case
from tests.support.inputs import tiny_models
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server


@case(
    "reload.replaces",
    "HandleReloadConfigRequest without a model, and with it again",
    "the model is unloaded, NOT_FOUND; the others stay; it is loaded again before the call returns",
)
def test_reload_replaces_the_models(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1)
    server.add("guest", tmp_path)
    assert server.predict(request("guest", x=X)).model_spec.version.value == 1
    del server.models["guest"]
    server.reload()
    server.wait_for("guest", {1: "END"})
    assert refusal(server.predict, request("guest", x=X))[0] == Code.NOT_FOUND
    assert server.states("tiny") == {2: "AVAILABLE", 1: "AVAILABLE"}
    server.add("guest", tmp_path)
    assert server.states("guest") == {1: "AVAILABLE"}


@case(
    "reload.labels",
    "Specific versions; a label moves to another version, and to one that is not available",
    'moved at once; FAILED_PRECONDITION "Request to assign label to version 2 of model …", and '
    "the label stays",
)
def test_specific_versions_and_moved_labels(server: Server, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        tiny_models.save(tmp_path, version)
    only = {"model_version_policy": {"specific": {"versions": [1, 3]}}}
    server.add("labelled", tmp_path, **only, version_labels={"stable": 1})
    server.wait_for("labelled", {3: "AVAILABLE", 1: "AVAILABLE"})
    asked = request("labelled", x=X, label="stable")
    assert server.predict(asked).model_spec.version.value == 1
    server.add("labelled", tmp_path, **only, version_labels={"stable": 3})
    assert server.predict(asked).model_spec.version.value == 3
    assert refusal(
        lambda: server.add("labelled", tmp_path, **only, version_labels={"stable": 2})
    ) == (
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 2 of model labelled, "
        "which is not currently available for inference",
    )
    assert server.predict(asked).model_spec.version.value == 3
    del server.models["labelled"]


@case(
    "reload.refusals",
    "An empty configuration; a relative `base_path`",
    'INVALID_ARGUMENT "ServerModelConfig type not supported …", "Expected model m to have an '
    'absolute path or URI …"',
)
def test_reload_refusals(server: Server) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    assert refusal(server.model.HandleReloadConfigRequest, request) == (
        Code.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest."
        " Only ModelConfigList is currently supported",
    )
    request.config.model_config_list.config.add(
        name="m", base_path="here", model_platform="tensorflow"
    )
    assert refusal(server.model.HandleReloadConfigRequest, request) == (
        Code.INVALID_ARGUMENT,
        "Expected model m to have an absolute path or URI; got base_path()=here",
    )
    assert server.predict(tiny_models.request("tiny", x=X)).model_spec.version.value == 2


@case(
    "reload.platform",
    "Another `model_platform` for a model",
    "INVALID_ARGUMENT \"Illegal to change a model's platform. For model … platform was "
    'tensorflow and new platform requested is pytorch"',
)
def test_platform_of_a_model_cannot_change(server: Server) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    base = server.models["tiny"]["base_path"]
    request.config.model_config_list.config.add(
        name="tiny", base_path=base, model_platform="pytorch"
    )
    assert refusal(server.model.HandleReloadConfigRequest, request) == (
        Code.INVALID_ARGUMENT,
        "Illegal to change a model's platform. For model tiny platform was tensorflow and "
        "new platform requested is pytorch",
    )
