"""The SavedModel itself, loaded as TensorFlow Serving loads it."""

import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.support.inputs.official import SAMPLES
from tests.support.inputs.yolov4_models import NAMES, load, write_model
from tests.support.processes.model_server_process import command
from tests.support.project import ROOT
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_weights
from yolov4.export.saved_model import export
from yolov4.graph.preprocess import preprocess
from yolov4.load import load_model
from yolov4.network.model import Model
from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights

Picture = npt.NDArray[np.uint8]
Predict = Callable[[list[bytes]], dict[str, Any]]


def noise(height: int, width: int, seed: int = 0) -> Picture:
    """Smooth enough to survive JPEG, with something in every channel."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(picture: Picture, kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, kind, quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, exported once with warm-up for batches of 1 and 3."""
    folder = tmp_path_factory.mktemp("export")
    cfg, weights, names = write_model(folder, head_bias=-6.0)
    network = read_cfg(cfg)
    return export(
        Model(network, read_weights(weights, network), read_names(names, network.classes)),
        folder / "repository",
        "small",
        {"cfg": "small.cfg"},
        warm_batch_sizes=(1, 3),
    )


@pytest.fixture(scope="module")
def predict(version: Path) -> Predict:
    return load(version)


def test_the_signature_is_the_contract(version: Path) -> None:
    meta = tf.compat.v1.saved_model.load(
        tf.compat.v1.Session(graph=tf.Graph()), ["serve"], str(version)
    )
    assert sorted(meta.signature_def) == ["metadata", "serving_default"]
    signature = meta.signature_def["serving_default"]

    def described(tensors: Any) -> dict[str, tuple[str, list[int]]]:
        return {
            name: (
                tf.dtypes.as_dtype(info.dtype).name,
                [dimension.size for dimension in info.tensor_shape.dim],
            )
            for name, info in tensors.items()
        }

    assert signature.method_name == "tensorflow/serving/predict"
    assert described(signature.inputs) == {"image": ("string", [-1])}
    assert described(signature.outputs) == {
        "boxes": ("float32", [-1, 100, 4]),
        "scores": ("float32", [-1, 100]),
        "classes": ("int32", [-1, 100]),
        "labels": ("string", [-1, 100]),
        "num_detections": ("int32", [-1]),
    }
    assert not any(node.op.startswith("VarHandle") for node in meta.graph_def.node)


def test_the_metadata_signature_names_the_classes_and_the_input(version: Path) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(version))
        signature = meta.signature_def["metadata"]
        feeds = {signature.inputs["rows"].name: [b"", b""]}
        outputs = {name: info.name for name, info in signature.outputs.items()}
        answer = session.run(outputs, feeds)
    assert [list(map(bytes.decode, row)) for row in answer["class_names"]] == [NAMES, NAMES]
    about = {"input": {"width": 96, "height": 64}, "precision": "float32"}
    assert [json.loads(row) for row in answer["about"]] == [about, about]


def test_the_newer_loader_reads_it_too(version: Path, predict: Predict) -> None:
    picture = encoded(noise(50, 70), "JPEG")
    answer = tf.saved_model.load(str(version)).signatures["serving_default"](
        image=tf.constant([picture])
    )
    wanted = predict([picture])
    assert set(answer) == set(wanted)
    np.testing.assert_allclose(answer["scores"], wanted["scores"], rtol=1e-5)


def test_rows_that_count_carry_their_words_and_the_others_nothing(predict: Predict) -> None:
    answer = predict([encoded(noise(80, 120, seed), "JPEG") for seed in range(4)])
    counts = answer["num_detections"]
    assert (counts > 0).all()
    assert (counts < 100).any()
    for picture, count in enumerate(counts):
        words = [label.decode() for label in answer["labels"][picture]]
        assert words[:count] == [NAMES[i] for i in answer["classes"][picture, :count]]
        assert words[count:] == [""] * (100 - count)
        assert not answer["boxes"][picture, count:].any()
        assert (answer["scores"][picture, :count] >= 0.001).all()
        assert (np.diff(answer["scores"][picture]) <= 0).all()


def test_pictures_of_different_sizes_and_kinds_share_a_batch(predict: Predict) -> None:
    pictures = [
        encoded(noise(64, 96), "JPEG"),
        encoded(noise(300, 41, 1), "PNG"),
        encoded(noise(9, 7, 2), "JPEG", "L"),
        encoded(noise(50, 80, 3), "JPEG", "CMYK"),
    ]
    together = predict(pictures)
    assert (together["num_detections"] > 0).sum() > 1
    for number, picture in enumerate(pictures):
        alone = predict([picture])
        assert alone["num_detections"][0] == together["num_detections"][number]
        for key in ("boxes", "scores"):
            np.testing.assert_allclose(
                together[key][number], alone[key][0], rtol=1e-3, atol=1e-2, err_msg=key
            )


def test_an_empty_batch_is_refused_with_a_message(predict: Predict) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one picture expected"):
        predict([])


@pytest.mark.parametrize("rubbish", [b"", b"no picture", encoded(noise(64, 64), "JPEG")[:400]])
def test_undecodable_data_is_an_invalid_argument(predict: Predict, rubbish: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        predict([rubbish])


def opencv_decoded(picture: bytes) -> Picture:
    """RGB [height, width, 3]."""
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8)


def stretched(picture: bytes, width: int, height: int) -> tuple[npt.NDArray[np.float32], list[int]]:
    pixels, sizes = preprocess(Network(width, height, 3, ()), tf.constant([picture]))
    assert (pixels.dtype, sizes.dtype) == (tf.float32, tf.int32)
    return pixels.numpy()[0], sizes.numpy()[0].tolist()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (333, 500), (20, 31), (1, 1)])
def test_preprocessing_is_opencvs_decoding_and_bilinear_stretch(
    kind: str, height: int, width: int
) -> None:
    picture = encoded(noise(height, width), kind)
    pixels, size = stretched(picture, 96, 64)
    decoded = opencv_decoded(picture)
    wanted = cv2.resize(decoded.astype(np.float32), (96, 64), interpolation=cv2.INTER_LINEAR) / 255
    assert size == [height, width]
    # A JPEG decoded with TensorFlow's default transform is off by up to 23 / 255.
    np.testing.assert_allclose(pixels, wanted, atol=1e-4)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_pictures_become_rgb(mode: str) -> None:
    plain = np.full((32, 32, 3), (200, 120, 40), np.uint8)
    pixels, _ = stretched(encoded(plain, "JPEG", mode), 32, 32)
    wanted = np.asarray(Image.fromarray(plain).convert(mode).convert("RGB"), np.float32) / 255
    np.testing.assert_allclose(pixels, wanted, atol=0.015)
    assert wanted[0, 0, 0] > 0.4


def test_the_photos_are_decoded_bit_by_bit_as_opencv_does() -> None:
    for path in SAMPLES:
        decoded = opencv_decoded(path.read_bytes()).astype(np.float32) / 255
        pixels, size = stretched(path.read_bytes(), decoded.shape[1], decoded.shape[0])
        assert size == list(decoded.shape[:2])
        np.testing.assert_allclose(pixels, decoded, atol=1e-6)


def test_warm_up_requests_are_there_and_run(version: Path, predict: Predict) -> None:
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    sizes = []
    for record in tf.data.TFRecordDataset(str(path)):
        log = PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "small"
        assert request.model_spec.signature_name == "serving_default"
        assert list(request.inputs) == ["image"]
        pictures = tf.make_ndarray(request.inputs["image"])
        assert predict(list(pictures))["boxes"].shape == (len(pictures), 100, 4)
        sizes.append(len(pictures))
    assert sizes == [1, 3]


def test_the_version_records_its_source(version: Path) -> None:
    assert json.loads((version / "assets.extra" / "model.json").read_text()) == {
        "cfg": "small.cfg",
        "input": {"width": 96, "height": 64},
        "classes": 3,
        "precision": "float32",
        "tensorflow": tf.__version__,
    }
    assert sorted(child.name for child in version.iterdir()) == [
        "assets.extra",
        "saved_model.pb",
        "variables",
    ]


def test_a_graph_that_cannot_be_built_leaves_nothing(tmp_path: Path) -> None:
    cfg, weights, names = write_model(tmp_path)
    network = read_cfg(cfg)
    arrays = read_weights(weights, network)
    arrays[3] = ConvWeights(arrays[3].kernel[..., :-1], arrays[3].bias)
    with pytest.raises(ValueError, match=r"[Dd]imension"):
        export(Model(network, arrays, read_names(names)), tmp_path / "repository", "small", {})
    assert not (tmp_path / "repository").exists()


def overflowing(folder: Path) -> Model:
    """A model whose activations have no float16: every weight has one."""
    files = write_model(folder)
    model = load_model(str(files[0]), files[1], files[2])
    weights = [
        ConvWeights(kernel * (3e4 / np.abs(kernel).max()), bias) for kernel, bias in model.weights
    ]
    return Model(model.network, weights, model.names)


@pytest.mark.parametrize("cause", ["float16", "nan"])
def test_heads_that_are_not_finite_fail_the_call(tmp_path: Path, cause: str) -> None:
    model = overflowing(tmp_path)
    if cause == "nan":
        last = model.weights[-1]
        weights = [*model.weights[:-1], ConvWeights(last.kernel, last.bias * np.float32("nan"))]
        model = Model(model.network, weights, model.names)
    precision = "float16" if cause == "float16" else "float32"
    predict = load(export(model, tmp_path / "repository", "small", {}, precision))
    with pytest.raises(tf.errors.InvalidArgumentError, match="output is not finite"):
        predict([encoded(noise(64, 96), "JPEG")])


def test_a_version_that_is_not_finite_does_not_become_available(tmp_path: Path) -> None:
    export(overflowing(tmp_path), tmp_path / "repository", "small", {}, "float16")
    base = tmp_path / "repository" / "small"
    flags = ["--model_name=small", f"--model_base_path={base}", "--max_num_load_retries=0"]
    server = command("--port=0", f"--grpc_socket_path={tmp_path}/socket", *flags)
    done = subprocess.run(server, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0
    assert "1 model(s) did not become available" in done.stderr
    assert "output is not finite" in done.stderr
