"""Several models behind one gateway: routes, readiness, admission and metrics of each."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from service.backend import messages as m
from tests.support.fakes.fake_backend import CAT, DOG, FakeBackend, Row, answer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

CAR: Row = ("car", 6, 0.875, (1.0, 2.0, 30.0, 40.0))
IMAGE = {"image": picture()}


@pytest.fixture(scope="module")
def voc() -> FakeBackend:
    return FakeBackend(lambda _: answer([CAR], version=7), version=7, class_names=("bus", "car"))


@pytest.fixture(scope="module")
def backend(voc: FakeBackend) -> Iterator[FakeBackend]:
    fake = FakeBackend(lambda _: answer([DOG, CAT]), class_names=("cat", "dog"))
    fake.others["voc"] = voc
    with fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target,
        models="coco,voc",
        max_in_flight=1,
        max_queue=0,
        max_batch_pictures=3,
    ) as process:
        wait_for(lambda: process.http.get("/readyz").status_code == 200)
        yield process


@pytest.fixture(autouse=True)
def _available(voc: FakeBackend) -> Iterator[None]:
    yield
    voc.state = m.ModelVersionStatus.AVAILABLE


def labels(response: httpx.Response) -> tuple[str, list[str]]:
    content = response.json()
    return content["model"]["name"], [d["label"] for d in content["detections"]]


def test_each_model_answers_under_its_name_and_the_first_without(gateway: GatewayProcess) -> None:
    post = gateway.http.post
    assert labels(post("/detect", files=IMAGE)) == ("coco", ["dog", "cat"])
    assert labels(post("/models/coco/detect", files=IMAGE)) == ("coco", ["dog", "cat"])
    voc = post("/models/voc/detect?max_detections=1", files=IMAGE)
    assert voc.json()["model"] == {"name": "voc", "version": 7}
    assert labels(voc) == ("voc", ["car"])
    drawn = post("/models/voc/detect?format=image", files=IMAGE)
    assert drawn.headers["content-type"] == "image/jpeg"
    batch = post("/models/voc/detect/batch", files=[("image", picture())] * 2)
    assert [row["model"]["name"] for row in batch.json()["results"]] == ["voc", "voc"]
    named = [line for line in gateway.log("request") if line["path"] == "/models/voc/detect"]
    assert {line["model"] for line in named} == {"voc"}


def test_labels_are_checked_against_the_model_that_is_asked(gateway: GatewayProcess) -> None:
    assert gateway.http.post("/models/voc/detect?label=car", files=IMAGE).status_code == 200
    response = gateway.http.post("/models/voc/detect?label=dog", files=IMAGE)
    assert (response.status_code, response.json()["type"]) == (422, "urn:problem:bad-parameter")
    assert "'car'" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/models/{}/detect", "/models/{}/detect/batch", "/models/{}"])
@pytest.mark.parametrize("name", ["nothing", "COCO", "..%2Fcoco", "%00", "ü" * 300])
def test_an_unknown_model_is_a_404_that_lists_the_names(
    gateway: GatewayProcess, path: str, name: str
) -> None:
    path = path.format(name)
    get = gateway.http.get
    response = gateway.http.post(path, files=IMAGE) if "detect" in path else get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    if "%2F" not in name:  # which is another path
        assert response.json()["type"] == "urn:problem:not-found"
        assert response.json()["detail"].endswith("only 'coco', 'voc'.")


def test_models_and_their_properties(gateway: GatewayProcess) -> None:
    assert gateway.http.get("/models").json() == {
        "models": [
            {"name": "coco", "version": 3, "reason": None},
            {"name": "voc", "version": 7, "reason": None},
        ]
    }
    assert gateway.http.get("/model").json() == gateway.http.get("/models/coco").json()
    voc = gateway.http.get("/models/voc").json()
    assert (voc["name"], voc["version"], voc["labels"]) == ("voc", 7, ["bus", "car"])


def test_ready_is_all_of_them_and_each_shows_its_own_state(
    gateway: GatewayProcess, voc: FakeBackend
) -> None:
    ready = gateway.http.get("/readyz").json()
    assert ready["model"] == {"name": "coco", "version": 3}
    assert ready["models"] == [ready["model"], {"name": "voc", "version": 7}]
    voc.state = m.ModelVersionStatus.LOADING
    response = gateway.http.get("/readyz")
    reason = "No version of model 'voc' is AVAILABLE (7: LOADING)."
    assert (response.status_code, response.json()["detail"]) == (503, reason)
    coco, other = gateway.http.get("/models").json()["models"]
    assert (coco["version"], coco["reason"]) == (3, None)
    assert other == {"name": "voc", "version": None, "reason": reason}
    assert gateway.http.get("/models/voc").status_code == 503
    assert gateway.http.get("/v2/models/voc/ready").status_code == 503
    assert gateway.http.get("/v2/models/coco/ready").status_code == 200
    assert gateway.http.post("/detect", files=IMAGE).status_code == 200
    assert gateway.metric('detect_backend_ready{model="coco"}') == 1
    assert gateway.metric('detect_backend_ready{model="voc"}') == 0
    assert gateway.metric('detect_model_info{name="coco",version="3"}') == 1
    assert gateway.metric('detect_model_info{name="voc"}') == 0


def test_a_busy_model_does_not_keep_another_waiting(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    """With one slot and no queue for each model."""
    at_work, go_on = threading.Event(), threading.Event()
    usual = backend.reply

    def reply(data: bytes) -> object:
        at_work.set()
        assert go_on.wait(20)
        return usual(data)

    backend.reply = reply
    before = gateway.metric('detect_rejected_total{model="coco",reason="full"}')
    first = threading.Thread(target=gateway.http.post, args=["/detect"], kwargs={"files": IMAGE})
    first.start()
    try:
        assert at_work.wait(20)
        assert gateway.http.post("/detect", files=IMAGE).status_code == 503
        assert gateway.http.post("/models/voc/detect", files=IMAGE).status_code == 200
        assert gateway.metric('detect_in_flight{model="coco"}') == 1
        assert gateway.metric('detect_in_flight{model="voc"}') == 0
    finally:
        go_on.set()
        first.join()
        backend.reply = usual
    assert gateway.metric('detect_rejected_total{model="coco",reason="full"}') == before + 1
    assert gateway.metric('detect_rejected_total{model="voc",reason="full"}') == 0


def test_metrics_have_no_label_that_a_caller_chooses(gateway: GatewayProcess) -> None:
    for name in ("x1", "x2"):
        gateway.http.post(f"/models/{name}/detect", files=IMAGE)
    shown = gateway.http.get("/metrics").text
    assert "x1" not in shown
    assert gateway.metric('detect_rejected_total{model="",reason="not-found"}') >= 2
    assert gateway.metric('detect_requests_total{code="404",route="/models/{name}/detect"}') >= 2
