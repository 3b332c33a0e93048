"""What a new network takes over from the one it starts from."""

import numpy as np

from tests.yolov4.train.small import START, START_NAMES
from yolov4.load import read_network
from yolov4.network.weights import count_floats
from yolov4.train.forward import initial
from yolov4.train.transfer import trainable, transfer, with_classes


def test_a_built_in_network_is_a_start() -> None:
    """As `--cfg`, with COCO's names: the class scores of a person are kept."""
    network, names = read_network("yolov4-tiny", None, names_required=False)
    assert (network.classes, len(names)) == (80, 80)
    vector = np.arange(count_floats(network), dtype=np.float32)
    trained, start = transfer(trainable(network), vector, names, ["robot", "person"], seed=0)
    assert trained == with_classes(network, 2)
    old, new = vector[-255 * 257 :][:255], start[-21 * 257 :][:21]  # biases of the last convolution
    np.testing.assert_array_equal(new.reshape(3, 7)[:, 6], old.reshape(3, 85)[:, 5])


def test_transfer_keeps_all_but_the_scores_of_new_classes() -> None:
    vector = np.arange(len(initial(START, 0)), dtype=np.float32)
    network, found = transfer(START, vector, START_NAMES, ["key", "fish", "star"], seed=0)
    assert network == with_classes(START, 3)
    assert network.classes == 3
    # The last convolution: 3 anchors x (5 + classes) biases, then as many rows of 32 numbers.
    old = vector[-(30 + 30 * 32) :]
    new = found[-(24 + 24 * 32) :]
    for width, before, after in (
        (1, old[:30], new[:24]),
        (32, old[30:], new[24:]),
    ):
        rows, kept = before.reshape(3, 10, width), after.reshape(3, 8, width)
        np.testing.assert_array_equal(kept[:, :5], rows[:, :5])
        np.testing.assert_array_equal(kept[:, 5], rows[:, 5 + 4])  # key
        np.testing.assert_array_equal(kept[:, 7], rows[:, 5 + 0])  # star
        assert (np.abs(kept[:, 6]) < 3).all()  # fish: afresh
    np.testing.assert_array_equal(found[:1000], vector[:1000])
