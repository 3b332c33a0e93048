"""A picture in, boxes out: Darknet's files, the SavedModel, the model server, the gateway, HTTP."""

import io
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.inputs.official import ASTRONAUT, COFFEE, NAME, SAMPLES, Official
from tests.support.inputs.pictures import picture
from tests.support.oracles.opencv_oracle import OpenCV, clipped, iou
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT, free_port
from yolov4.load import COCO_NAMES


@contextmanager
def served(
    model: str, repository: Path, *flags: str, **settings: object
) -> Iterator[GatewayProcess]:
    """The model behind an embedded model server behind a gateway, ready."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "service.model_server"),
        *(f"--port={port}", f"--model_name={model}", f"--model_base_path={repository / model}"),
        *("--file_system_poll_wait_seconds=1", *flags),
    ]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        with GatewayProcess(backend=f"127.0.0.1:{port}", model_name=model, **settings) as gateway:
            deadline = time.monotonic() + 60
            while gateway.http.get("/readyz").status_code != 200:
                assert server.poll() is None, "the model server ended"
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield gateway
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def coco(coco_repository: Path) -> Iterator[GatewayProcess]:
    with served(NAME, coco_repository) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def opencv(official: Official) -> OpenCV:
    return OpenCV(official.cfg, official.weights, 416)


def detect(gateway: GatewayProcess, data: bytes, query: str = "") -> dict[str, Any]:
    response = gateway.http.post(f"/detect{query}", files={"image": data})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def corners(detection: dict[str, Any]) -> tuple[float, float, float, float]:
    box = detection["box"]
    return box["x_min"], box["y_min"], box["x_max"], box["y_max"]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("photo", SAMPLES, ids=lambda path: path.stem)
def test_every_photo_as_opencv_sees_it(
    coco: GatewayProcess, opencv: OpenCV, photo: Path, exact: bool
) -> None:
    """As OpenCV is usually called, and with the stretch alike, so that only networks differ."""
    words = COCO_NAMES.read_text().splitlines()
    answer = detect(coco, photo.read_bytes())
    width, height = answer["image"]["width"], answer["image"]["height"]
    expected = opencv.detect(photo.read_bytes(), 0.25, exact)
    assert expected
    assert [d["class_id"] for d in answer["detections"]] == [found.class_id for found in expected]
    for ours, theirs in zip(answer["detections"], expected, strict=True):
        assert ours["label"] == words[theirs.class_id]
        assert ours["score"] == pytest.approx(theirs.score, abs=0.0005 if exact else 0.02)
        least = 0.998 if exact else 0.9
        assert iou(corners(ours), clipped(theirs.box, width, height)) > least


def test_the_cup_of_coffee(coco: GatewayProcess) -> None:
    answer = detect(coco, COFFEE.read_bytes())
    assert answer["detections"][0]["label"] == "cup"
    assert answer["model"] == {"name": "yolov4-tiny", "version": 1}
    assert answer["image"] == {"width": 600, "height": 400}


def oblong_photo() -> Image.Image:
    """The astronaut, without the lower edge: wider than high."""
    with Image.open(ASTRONAUT) as image:
        return image.convert("RGB").crop((0, 0, 512, 400))


def encoded(image: Image.Image, kind: str, **save: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **save)
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stored_in_any_orientation_is_the_same_photo(
    coco: GatewayProcess, orientation: int
) -> None:
    """Stored turned, with EXIF saying so; shown, it is the same photo, and so are the boxes."""
    upright = oblong_photo()
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }.get(orientation, [])
    stored = upright
    for step in undo:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = detect(coco, encoded(upright, "PNG", compress_level=1))
    turned = detect(coco, encoded(stored, "PNG", exif=exif.tobytes(), compress_level=1))
    assert turned["image"] == plain["image"] == {"width": 512, "height": 400}
    assert [d["label"] for d in plain["detections"]][:1] == ["person"]
    for ours, theirs in zip(turned["detections"], plain["detections"], strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=0.01)
        assert iou(corners(ours), corners(theirs)) > 0.98


def test_png_finds_the_same_and_webp_nearly(coco: GatewayProcess) -> None:
    """The same pixels, lossless; WebP is encoded once more on its way."""
    with Image.open(ASTRONAUT) as image:
        pixels = image.convert("RGB")
    plain = detect(coco, ASTRONAUT.read_bytes())
    assert detect(coco, encoded(pixels, "PNG", compress_level=1)) == plain
    found = detect(coco, encoded(pixels, "WEBP", lossless=True, quality=0))
    for ours, theirs in zip(found["detections"], plain["detections"], strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=0.01)
        assert iou(corners(ours), corners(theirs)) > 0.98


def test_the_threshold_may_come_after_nms(coco: GatewayProcess) -> None:
    """Any threshold gives a prefix of the detections at a lower one."""
    jpeg = COFFEE.read_bytes()
    everything = detect(coco, jpeg, "?score_threshold=0")["detections"]
    assert len(everything) > 50
    for threshold in (0.001, 0.1, 0.5):
        some = detect(coco, jpeg, f"?score_threshold={threshold}")["detections"]
        assert some == [d for d in everything if d["score"] >= threshold]


def test_a_drawn_photo(coco: GatewayProcess) -> None:
    jpeg = COFFEE.read_bytes()
    response = coco.http.post("/detect?format=image", files={"image": jpeg})
    assert Image.open(io.BytesIO(response.content)).size == (600, 400)


# --- with a small model of random numbers: needs no downloaded weights ----------------------------


@pytest.fixture(scope="module")
def small(small_repository: Path) -> Iterator[GatewayProcess]:
    with served("small", small_repository) as gateway:
        yield gateway


def truncated() -> bytes:
    whole = picture(640, 480, quality=95)
    return whole[: len(whole) // 2]


def test_a_corrupt_picture_costs_only_its_own_request(small: GatewayProcess) -> None:
    good = picture(320, 240)
    response = small.http.post("/detect", files={"image": truncated()})
    assert response.status_code == 400
    assert "damaged or ends early" in response.json()["detail"]
    files = [("image", data) for data in (good, truncated(), good, b"no picture", good)]
    response = small.http.post("/detect/batch?score_threshold=0", files=files)
    assert response.status_code == 200
    first, second, third, fourth, fifth = response.json()["results"]
    assert second["error"]["status"] == fourth["error"]["status"] == 400
    assert first == third == fifth == detect(small, good, "?score_threshold=0")
    assert first["image"] == {"width": 320, "height": 240}


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_pictures_are_answered(small: GatewayProcess, mode: str) -> None:
    assert detect(small, picture(mode=mode))["image"] == {"width": 64, "height": 48}


def test_numbers_as_bytes_are_the_same_numbers(
    small: GatewayProcess, small_repository: Path
) -> None:
    flag = "--enable_serialization_as_tensor_content"
    with served("small", small_repository, flag) as gateway:
        data = picture(320, 240)
        assert detect(gateway, data) == detect(small, data)


@pytest.mark.parametrize("flag", ["--enable_batching", "--enable_serialization_as_tensor_content"])
def test_an_unknown_label_is_rejected_with_those_of_the_model(
    small_repository: Path, flag: str
) -> None:
    with served("small", small_repository, flag) as gateway:
        detect(gateway, picture(), "?label=bee&label=cat")
        response = gateway.http.post("/detect?label=bear", files={"image": picture()})
        assert response.status_code == 422
        assert response.json()["detail"] == (
            "label: 'bear' is not a label of this model, which has 3; the nearest are 'bee',"
            " 'cat', 'ape'."
        )


def test_an_unknown_model_and_version_are_said(small: GatewayProcess) -> None:
    backend = str(small._settings["backend"])
    with GatewayProcess(backend=backend, model_name="nobody") as gateway:
        for response in (
            gateway.http.get("/readyz"),
            gateway.http.post("/detect", files={"image": picture()}),
        ):
            assert response.status_code == 503
            assert "does not serve this model or version" in response.json()["detail"]
        wait_for(lambda: gateway.log("request"))
        line = gateway.log("request")[-1]
        assert line["cause"] == "Servable not found for request: Latest(nobody)"
    with GatewayProcess(backend=backend, model_name="small", model_version=9) as gateway:
        response = gateway.http.post("/detect", files={"image": picture()})
        assert response.status_code == 503


@pytest.mark.parametrize("named", ["x", "image"])
def test_a_model_that_is_no_detector_is_the_operators_trouble(tmp_path: Path, named: str) -> None:
    """Its input has another name, or the right name and another type."""
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name=named)
    module.double = tf.function(lambda x: {"y": x * 2}, input_signature=[spec])
    function = module.double.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / "foreign" / "1"), {"serving_default": function})
    with served("foreign", tmp_path) as gateway:
        response = gateway.http.post("/detect", files={"image": picture()})
        assert response.status_code == 503
        assert "does not have a detector's signature" in response.json()["detail"]


def test_a_new_version_is_served_without_a_failed_request(
    small_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    shutil.copytree(small_repository / "small", repository / "small")
    seen: list[tuple[int, int | None]] = []
    stop = threading.Event()

    with served("small", repository, ready_interval_s=0.1) as gateway:

        def caller() -> None:
            with httpx.Client(base_url=gateway.url, timeout=30) as http:
                while not stop.is_set():
                    response = http.post("/detect", files={"image": picture()})
                    version = response.json().get("model", {}).get("version")
                    seen.append((response.status_code, version))

        callers = [threading.Thread(target=caller) for _ in range(4)]
        for thread in callers:
            thread.start()
        time.sleep(1)
        shutil.copytree(repository / "small" / "1", repository / "small" / ".unfinished")
        (repository / "small" / ".unfinished").rename(repository / "small" / "2")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and ((200, 2) not in seen[-8:] or len(seen) <= 100):
            time.sleep(0.1)
        time.sleep(1)
        stop.set()
        for thread in callers:
            thread.join()
        assert {code for code, _ in seen} == {200}
        versions = [version for _, version in seen]
        assert versions[0] == 1
        assert versions[-1] == 2
        assert len(versions) > 100
        assert gateway.metric('detect_model_info{name="small",version="2"}') == 1
        assert gateway.metric('detect_requests_total{code="200",route="/detect"}') == len(seen)
