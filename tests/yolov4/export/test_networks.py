"""Networks that others trained: exported, and compared with OpenCV's reader on photographs.

Needs `networks/` in DETECT_TEST_DATA, of `.cfg` files and the `.weights` beside them.
"""

from pathlib import Path

import pytest

from tests.support.inputs.official import SAMPLES
from tests.support.inputs.yolov4_models import load
from tests.support.oracles.opencv_oracle import Found, OpenCV, iou
from tests.support.project import DATA
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg
from yolov4.network.heads import Region

NETWORKS = sorted((DATA / "networks").glob("*.cfg")) if DATA else []


@pytest.mark.slow
@pytest.mark.parametrize(
    "cfg",
    NETWORKS or [pytest.param(None, marks=pytest.mark.skip("needs networks/ in DETECT_TEST_DATA"))],
    ids=lambda cfg: cfg.stem if cfg else "none",
)
def test_a_network_detects_what_opencv_detects(
    cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = read_cfg(cfg)
    if isinstance(network.heads[0], Region):
        pytest.skip("OpenCV suppresses the boxes of a [region] twice; see test_cfgs, test_detect")
    # OpenCV's; these networks have channels of hardly any variance.
    monkeypatch.setattr("yolov4.network.weights.BATCH_NORM_EPSILON", 1e-6)
    names = tmp_path / "classes.names"
    names.write_text("".join(f"class {i}\n" for i in range(network.classes)))
    weights = cfg.with_suffix(".weights")
    files = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names)]
    options = ["--name", "net", "--precision", "f32", "--nms", "plain"]  # OpenCV's
    assert main(["export", *options, *files, "--repository", str(tmp_path)]) == 0
    predict = load(tmp_path / "net" / "1")
    reader = OpenCV(cfg, weights, (network.width, network.height))
    threshold = 0.25
    compared = 0
    for path in [*SAMPLES, *sorted((cfg.parent.parent / "photos").glob("*.jpg"))]:
        answer = predict([path.read_bytes()])
        shown = answer["scores"][0] >= threshold
        ours = [
            Found(int(class_id), float(score), tuple(box.tolist()))
            for class_id, score, box in zip(
                *(answer[key][0][shown] for key in ("classes", "scores", "boxes")), strict=True
            )
        ]
        wanted = reader.detect(path.read_bytes(), threshold, exact=True)[:100]
        _assert_found(wanted, ours, threshold)
        _assert_found(ours, wanted, threshold)
        compared += len(wanted)
    assert compared > 0


def _assert_found(some: list[Found], others: list[Found], threshold: float) -> None:
    """Each of `some` is among the others, unless its score is at the border."""
    least = max(threshold, others[-1].score if len(others) == 100 else 0.0)
    for one in some:
        if one.score > least + 0.003:
            like = [other for other in others if other.class_id == one.class_id]
            best = max(like, key=lambda other: iou(one.box, other.box))
            assert iou(one.box, best.box) > 0.98
            assert best.score == pytest.approx(one.score, abs=0.003)
