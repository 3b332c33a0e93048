"""Other services' real clients: each finds what `/detect` finds, and raises its own errors."""

from pathlib import Path
from typing import Any

import pytest

from service.api.dialects.labels import coco_label
from tests.clients.environment import run
from tests.support.processes.gateway_process import GatewayProcess

# Client -> what an undecodable picture is to it.
CLIENTS = {
    "deepstack_python": "deepstack.core.DeepstackException",
    "codeproject_ai_api": "codeprojectai.core.CodeProjectAIException",
    "deepstack_sdk": "builtins.Exception: Invalid image",
    "pydoods": "requests.exceptions.HTTPError: 400",
    "tritonclient": "tritonclient.utils.InferenceServerException: [400]",
    "open_inference_openapi": "open_inference.openapi.errors.bad_request_error.BadRequestError",
    "kserve_v2": "httpx.HTTPStatusError",
    "kserve_v1": "httpx.HTTPStatusError",
    "ovmsclient": "ovmsclient.tfs_compat.base.errors.InvalidInputError",
    "supervision": "urllib.error.HTTPError: HTTP Error 400",
}
WHOLE_PIXELS = {"deepstack_python", "codeproject_ai_api", "deepstack_sdk"}
OWN_WORDS = {"tritonclient", "open_inference_openapi", "kserve_v2", "kserve_v1", "ovmsclient"}


def use(client: str, gateway: GatewayProcess, model: str, picture: Path) -> Any:
    return run("use.py", client, gateway.url, model, picture)


@pytest.mark.parametrize("client", CLIENTS)
def test_it_finds_what_detect_finds(
    client: str, gateway: GatewayProcess, model: str, photo: Path
) -> None:
    with photo.open("rb") as file:
        own = gateway.http.post("/detect", files={"image": file}).json()
    assert len(own["detections"]) >= 2
    found = use(client, gateway, model, photo)
    assert len(found) == len(own["detections"])
    width, height = own["image"].values()
    for (label, score, box), d in zip(found, own["detections"], strict=True):
        assert label == (d["label"] if client in OWN_WORDS else coco_label(d["label"]))
        assert score == pytest.approx(d["score"], abs=1e-5)
        if client == "pydoods":
            box = [side * size for side, size in zip(box, (width, height) * 2, strict=True)]
        within = 0.51 if client in WHOLE_PIXELS else 0.01
        assert box == pytest.approx(list(d["box"].values()), abs=within)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_bad_picture_is_its_own_exception(
    client: str, gateway: GatewayProcess, model: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    assert str(use(client, gateway, model, tmp_path / "bad.jpg")).startswith(CLIENTS[client])
