import pytest

from yolov4.errors import LayerError, ModelError
from yolov4.network.heads import GaussianYolo, Region, Yolo
from yolov4.network.layers import (
    AveragePool,
    Convolutional,
    Dropout,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)
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
        (Reorg(3, interleaved=True), Shape(15, 12, 162)),
        (AveragePool(4, (4, 4), 3), Shape(4, 3, 162)),
        (Convolutional(16, 1), Shape(4, 3, 16)),
        (GlobalAveragePool(), Shape(1, 1, 16)),
        (ScaleChannels(11), Shape(4, 3, 16)),
        (Sam(11), Shape(4, 3, 16)),
        (HEAD, Shape(4, 3, 16)),
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
        (
            [Convolutional(8, 1), GlobalAveragePool(), Convolutional(4, 1), ScaleChannels(0)],
            3,
            "multiplies layer 0, which is 96x64x8, by what is 1x1x4: 1x1x8 expected",
        ),
        (
            [Convolutional(8, 1), Convolutional(2, 1), ScaleChannels(0, scale_wh=True)],
            2,
            "by what is 96x64x2: 96x64x1 expected",
        ),
        ([Convolutional(8, 1), Convolutional(4, 1), Sam(0)], 2, "96x64x8, by what is 96x64x4"),
        ([Convolutional(8, 1), Reorg(5, True)], 1, "stride=5 must divide"),
        ([Convolutional(6, 1), Reorg(2, True)], 1, "its 6 channels must be a multiple of 4"),
        (
            [Convolutional(16, 1), Region(((1, 1),), 3)],
            1,
            "[region] has 16 filters, but 1 anchors x (5 + 3 classes) need 8",
        ),
        (
            [Convolutional(16, 1), GaussianYolo(((1, 1),), 3)],
            1,
            "[Gaussian_yolo] has 16 filters, but 1 anchors x (9 + 3 classes) need 12",
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


@pytest.mark.parametrize(("width", "height"), [(0, 64), (64, 0), (-32, 64)])
def test_input_sizes_are_positive(width: int, height: int) -> None:
    with pytest.raises(ModelError, match=f"{width}x{height} is not positive"):
        network(Convolutional(16, 1), HEAD).resized(width, height)


def halves(times: int) -> tuple[Layer, ...]:
    """Down by powers of two and once up again, which needs halves without a remainder."""
    down = tuple(Convolutional(16, 3, (2, 2), 1) for _ in range(times))
    return (*down, Upsample(2), Route((times, times - 2)), Convolutional(16, 1), HEAD)


@pytest.mark.parametrize(("times", "multiple"), [(4, 16), (5, 32), (6, 64)])
def test_a_size_that_does_not_fit_is_refused_with_the_networks_own_stride(
    times: int, multiple: int
) -> None:
    fits = Network(2 * multiple, multiple, 3, halves(times))
    assert fits.resized(3 * multiple, multiple).width == 3 * multiple
    wrong = 5 * multiple // 2 - 1
    for width, height in ((wrong, multiple), (multiple, wrong)):
        with pytest.raises(ModelError, match=f"{width}x{height} .* be multiples of {multiple}$"):
            fits.resized(width, height)


def test_a_size_that_fits_need_not_be_a_multiple_of_the_stride() -> None:
    down: list[Layer] = [Convolutional(16, 3, (2, 2), 1) for _ in range(5)]
    resized = Network(64, 64, 3, (*down, HEAD)).resized(56, 56)  # a face detector's, 56 -> 2
    assert shapes(resized)[-1] == (2, 2, 16)
