import pytest

from yolov4.errors import LayerError, ModelError
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shortcut, Upsample
from yolov4.network.network import Network, Shape, shapes

HEAD = Yolo(((10, 14), (23, 27)), classes=3)


def network(*layers: Layer) -> Network:
    return Network(96, 64, 3, layers)


def test_every_layer_says_how_large_its_output_is() -> None:
    layers = (
        (Convolutional(8, 3, (2, 2), 1), Shape(32, 48, 8)),
        (Convolutional(12, 3, (1, 2), 0, groups=4), Shape(30, 23, 12)),
        (MaxPool(2, (2, 2), 1), Shape(15, 12, 12)),
        (MaxPool(5, (1, 1), 4), Shape(15, 12, 12)),
        (Dropout(), Shape(15, 12, 12)),
        (Shortcut((3, 2)), Shape(15, 12, 12)),
        (Route((5, 2)), Shape(15, 12, 24)),
        (Route((6, 5), groups=2, group_id=1), Shape(15, 12, 18)),
        (Upsample(3), Shape(45, 36, 18)),
        (Convolutional(16, 1), Shape(45, 36, 16)),
        (HEAD, Shape(45, 36, 16)),
    )
    assert shapes(network(*(layer for layer, _ in layers))) == [shape for _, shape in layers]


@pytest.mark.parametrize(
    ("layers", "index", "reason"),
    [
        ([Convolutional(8, 3), Route((0, 3))], 1, "reads layer 3, but only layers 0 to 0"),
        ([Convolutional(8, 3), Route((-1,))], 1, "reads layer -1"),
        (
            [Convolutional(8, 1), MaxPool(2, (2, 2), 1), Route((0, 1))],
            2,
            "joins layer 0, which is 96x64x8, with layer 1, which is 48x32x8",
        ),
        (
            [Convolutional(8, 1), MaxPool(2, (2, 2), 1), Shortcut((0,))],
            2,
            "adds layer 0, which is 96x64x8, to what is 48x32x8",
        ),
        ([Convolutional(8, 1), Route((0,), 3, 0)], 1, "group_id=0 of groups=3 from the 8 channels"),
        ([Convolutional(8, 1), Route((0,), 2, 2)], 1, "group_id=2 of groups=2"),
        ([Convolutional(8, 1, groups=2)], 0, "groups=2 must divide both the 3 channels"),
        (
            [Convolutional(17, 1), HEAD],
            1,
            "has 17 filters, but 2 anchors x (5 + 3 classes) need 16",
        ),
        ([Convolutional(16, 1), HEAD, Convolutional(16, 1)], 2, "nothing but a [route]"),
        ([Convolutional(16, 1), HEAD, Route((1,))], 2, "reads layer 1, which is a [yolo]"),
        ([Convolutional(8, 99)], 0, "nothing is left of the picture: its output would be -2x-34x8"),
    ],
)
def test_layers_that_do_not_fit_are_refused_with_both_numbers(
    layers: list[Layer], index: int, reason: str
) -> None:
    with pytest.raises(LayerError) as caught:
        shapes(network(*layers))
    assert caught.value.index == index
    assert reason in caught.value.reason


def test_another_input_size_changes_nothing_but_the_size() -> None:
    before = network(Convolutional(16, 1), HEAD)
    after = before.resized(128, 32)
    assert (after.width, after.height) == (128, 32)
    assert after.layers is before.layers


@pytest.mark.parametrize(("width", "height"), [(100, 64), (64, 100), (0, 64), (-32, 64)])
def test_input_sizes_must_be_multiples_of_32(width: int, height: int) -> None:
    with pytest.raises(ModelError, match=f"{width}x{height}.*multiples of 32"):
        network(Convolutional(16, 1), HEAD).resized(width, height)
