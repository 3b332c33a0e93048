"""The null backend answers as TensorFlow Serving would, read here with its own message classes."""

from loadtest.bench import null_backend
from service.backend import messages as m


def test_the_answer_is_contract_2_in_typed_fields() -> None:
    response = m.PredictResponse.FromString(null_backend.answer())
    shapes = {
        name: [dim.size for dim in tensor.tensor_shape.dim]
        for name, tensor in response.outputs.items()
    }
    assert shapes == {
        "boxes": [1, 100, 4],
        "scores": [1, 100],
        "classes": [1, 100],
        "labels": [1, 100],
        "num_detections": [1],
    }
    outputs = response.outputs
    assert len(outputs["boxes"].float_val) == 400
    assert list(outputs["boxes"].float_val[:4]) == [128.25, 222.5, 314.75, 541.125]
    assert outputs["labels"].string_val[:2] == [b"dog", b"bicycle"]
    assert list(outputs["classes"].int_val[:2]) == [16, 1]
    assert list(outputs["num_detections"].int_val) == [100]
    assert response.model_spec.version.value == 1


def test_eight_rows_are_above_the_default_threshold_and_scores_fall() -> None:
    scores = list(m.PredictResponse.FromString(null_backend.answer()).outputs["scores"].float_val)
    assert len(scores) == 100
    assert scores == sorted(scores, reverse=True)
    assert sum(score >= 0.25 for score in scores) == 8


def test_reading_and_writing_again_changes_nothing() -> None:
    """Every field is one the classes know, and written as they write it."""
    response = m.PredictResponse.FromString(null_backend.answer())
    assert m.PredictResponse.FromString(response.SerializeToString()) == response
    assert len(response.SerializeToString()) == len(null_backend.answer())


def test_its_model_is_available() -> None:
    (version,) = m.GetModelStatusResponse.FromString(null_backend.status()).model_version_status
    assert (version.version, version.state) == (1, m.ModelVersionStatus.AVAILABLE)
