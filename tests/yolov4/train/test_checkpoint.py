"""A checkpoint continues only its own run; the plan's learning rate."""

from pathlib import Path

import numpy as np
import pytest

from tests.yolov4.train.small import START
from yolov4.errors import ModelError
from yolov4.network.network import Network
from yolov4.network.weights import count_floats
from yolov4.train.checkpoint import Plan, State
from yolov4.train.transfer import with_classes


def test_a_checkpoint_with_other_options_is_refused(tmp_path: Path) -> None:
    def fresh(network: Network, plan: Plan) -> State:
        return State(np.zeros(count_floats(network), np.float32), network, plan)

    path, plan = tmp_path / "c.npz", Plan(steps=5)
    fresh(START, plan).save(path)
    fresh(START, plan).load(path)
    with pytest.raises(ModelError, match=r"other options \(steps, rate\)\. To start over, delete"):
        fresh(START, Plan(steps=6, rate=1)).load(path)
    with pytest.raises(ModelError, match="with other network"):
        fresh(with_classes(START, 3), plan).load(path)
    with pytest.raises(ModelError, match=r"other network and other options \(seed\)"):
        fresh(START.resized(96, 64), Plan(steps=5, seed=1)).load(path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", bytes(100)])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path, plan = tmp_path / "c.npz", Plan(steps=5)
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"c\.npz is not a checkpoint of this version, or is dam"):
        State(np.zeros(count_floats(START), np.float32), START, plan).load(path)


def test_the_rate_warms_up_and_falls_to_a_hundredth() -> None:
    plan = Plan(steps=1100, rate=1.0, warm_up=100)
    rates = [plan.learning_rate(step) for step in (0, 99, 100, 600, 1100)]
    np.testing.assert_allclose(rates, [0.01, 1, 1, 0.505, 0.01], atol=1e-9)
