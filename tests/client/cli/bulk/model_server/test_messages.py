"""The client's own message classes and TensorFlow Serving's read each other."""

import subprocess
import sys

from detect_client.cli.bulk.model_server import codec
from detect_client.cli.bulk.model_server import messages as m

from service.backend import messages as real
from tests.support.fakes.fake_backend import CAT, DOG, answer
from tests.support.project import ROOT


def test_a_request_is_read_by_the_real_classes() -> None:
    data = codec.predict_request(codec.spec("yolov4", 3, "serving_default"), "image", b"jpeg")
    request = real.PredictRequest.FromString(data)
    assert (request.model_spec.name, request.model_spec.version.value) == ("yolov4", 3)
    assert request.model_spec.signature_name == "serving_default"
    tensor = request.inputs["image"]
    assert tensor.dtype == real.DT_STRING
    assert [d.size for d in tensor.tensor_shape.dim] == [1]
    assert list(tensor.string_val) == [b"jpeg"]
    assert not request.output_filter
    isolated = codec.predict_request(codec.spec("yolov4"), "image", b"jpeg", isolated=True)
    request = real.PredictRequest.FromString(isolated)
    assert tuple(request.output_filter) == codec.ISOLATED
    assert not request.model_spec.HasField("version")


def test_answers_of_both_forms_are_read() -> None:
    typed, raw = (
        codec.prediction(answer([DOG, CAT], raw=raw).SerializeToString()) for raw in (False, True)
    )
    for prediction in (typed, raw):
        assert (prediction.version, prediction.count) == (3, 2)
        assert list(prediction.boxes[:4]) == list(DOG[3])
        assert list(prediction.labels[:2]) == [b"dog", b"cat"]
        assert list(prediction.classes[:2]) == [16, 15]
        assert list(prediction.scores[:2]) == [0.75, 0.5]


def test_the_newest_available_version() -> None:
    states = real.ModelVersionStatus
    response = real.GetModelStatusResponse()
    response.model_version_status.add(version=2, state=states.AVAILABLE)
    response.model_version_status.add(version=1, state=states.AVAILABLE)
    response.model_version_status.add(version=3, state=states.LOADING)
    assert codec.newest_available(response.SerializeToString()) == 2
    assert codec.newest_available(b"") is None
    assert m.AVAILABLE == states.AVAILABLE
    assert (m.DT_FLOAT, m.DT_INT32, m.DT_STRING) == (real.DT_FLOAT, real.DT_INT32, real.DT_STRING)


def test_the_client_needs_neither_tensorflow_nor_its_messages() -> None:
    program = (
        "import sys; import detect_client.cli.bulk.model_server.client;"
        "print(*(m for m in sys.modules if m.startswith(('tensorflow', 'service'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "client", capture_output=True, check=True
    )
    assert done.stdout.split() == []
