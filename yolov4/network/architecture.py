"""YOLOv4 and YOLOv4-tiny, written to be read beside the papers.

Bochkovskiy et al., "YOLOv4" (arXiv:2004.10934); Wang et al., "CSPNet" (arXiv:1911.11929) and
"Scaled-YOLOv4" (arXiv:2011.08036, the tiny network). The layers come out in the order of Darknet's
`yolov4.cfg` and `yolov4-tiny.cfg`, which is the order of the numbers in its `.weights`.
"""

from collections.abc import Callable, Sequence

from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Layer, MaxPool, Route, Shortcut, Upsample
from yolov4.network.network import Network


class _Builder:
    """Layers in the order they are called; every method answers with its layer's index."""

    def __init__(self, width_multiplier: float) -> None:
        self.layers: list[Layer] = []
        self.width_multiplier = width_multiplier

    def add(self, layer: Layer) -> int:
        self.layers.append(layer)
        return len(self.layers) - 1

    def conv(self, filters: int, size: int, stride: int = 1, activation: str = "leaky") -> int:
        # Multiples of 8 suit every vector unit, and the tiny network halves its channels twice.
        filters = 8 * max(1, round(filters * self.width_multiplier / 8))
        return self.add(
            Convolutional(filters, size, (stride, stride), size // 2, activation=activation)
        )

    def pool(self, size: int, stride: int = 1) -> int:
        return self.add(MaxPool(size, (stride, stride), size - 1))

    def route(self, *sources: int) -> int:
        return self.add(Route(sources))

    def upsample(self) -> int:
        return self.add(Upsample(2))

    def head(self, yolo: Yolo) -> None:
        filters = len(yolo.anchors) * (5 + yolo.classes)
        self.add(Convolutional(filters, 1, batch_normalize=False, activation="linear"))
        self.add(yolo)


Anchors = Sequence[tuple[float, float]]

# Width and height in input pixels, found by k-means on COCO at 512 and 416 pixels.
YOLOV4_ANCHORS: Anchors = (
    *((12, 16), (19, 36), (40, 28)),
    *((36, 75), (76, 55), (72, 146)),
    *((142, 110), (192, 243), (459, 401)),
)
NMS_BETA = 0.6  # greedynms
CSPDARKNET53 = (1, 2, 8, 8, 4)
TINY_ANCHORS: Anchors = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))


def yolov4(
    width: int = 608,
    height: int = 608,
    classes: int = 80,
    width_multiplier: float = 1.0,
    anchors: Anchors = YOLOV4_ANCHORS,
    blocks: Sequence[int] = CSPDARKNET53,
) -> Network:
    """CSPDarknet53, SPP, PANet and three heads at strides 8, 16 and 32.

    `width_multiplier` scales the number of filters of every layer but the heads' outputs; `blocks`
    are the residual blocks of each of the five stages.
    """
    net = _Builder(width_multiplier)

    def stage(filters: int, blocks: int) -> int:
        # A cross stage partial stage: half of the channels go around the residual blocks.
        half = filters if filters == 64 else filters // 2  # the first is too narrow to be halved
        downsampled = net.conv(filters, 3, stride=2, activation="mish")
        around = net.conv(half, 1, activation="mish")
        net.route(downsampled)
        x = net.conv(half, 1, activation="mish")
        for _ in range(blocks):
            net.conv(filters // 2, 1, activation="mish")
            net.conv(half, 3, activation="mish")
            x = net.add(Shortcut((x,)))
        through = net.conv(half, 1, activation="mish")
        net.route(through, around)
        return net.conv(filters, 1, activation="mish")

    def squeeze(filters: int, times: int) -> int:
        # 1x1 convolutions that narrow, with 3x3 ones between them that widen.
        for _ in range(times - 1):
            net.conv(filters, 1)
            net.conv(2 * filters, 3)
        return net.conv(filters, 1)

    net.conv(32, 3, activation="mish")
    stage(64, blocks[0])
    stage(128, blocks[1])
    c3 = stage(256, blocks[2])
    c4 = stage(512, blocks[3])
    stage(1024, blocks[4])

    x = squeeze(512, times=2)  # spatial pyramid pooling: the same map seen through four windows
    pool5 = net.pool(5)
    net.route(x)
    pool9 = net.pool(9)
    net.route(x)
    pool13 = net.pool(13)
    net.route(pool13, pool9, pool5, x)
    p5 = squeeze(512, times=2)

    def lateral(filters: int, backbone: int) -> int:
        # PANet's way down: a coarse map, doubled, joins the backbone's map of that size.
        net.conv(filters, 1)
        doubled = net.upsample()
        net.route(backbone)
        net.route(net.conv(filters, 1), doubled)
        return squeeze(filters, times=3)

    p4 = lateral(256, c4)
    p3 = lateral(128, c3)

    def head(filters: int, group: int, scale_x_y: float) -> None:
        net.conv(filters, 3)
        chosen = tuple(anchors[3 * group : 3 * group + 3])
        net.head(Yolo(chosen, classes, scale_x_y))

    head(256, group=0, scale_x_y=1.2)
    n = p3
    for filters, finer, group, scale_x_y in ((256, p4, 1, 1.1), (512, p5, 2, 1.05)):
        net.route(n)  # PANet's way up again: a fine map, halved, joins the coarser one
        net.route(net.conv(filters, 3, stride=2), finer)
        n = squeeze(filters, times=3)
        head(2 * filters, group, scale_x_y)
    return Network(width, height, 3, tuple(net.layers), nms_beta=NMS_BETA)


def yolov4_tiny(
    width: int = 416,
    height: int = 416,
    classes: int = 80,
    width_multiplier: float = 1.0,
    anchors: Anchors = TINY_ANCHORS,
) -> Network:
    """CSPOSANet of three stages and two heads at strides 32 and 16."""
    net = _Builder(width_multiplier)

    net.conv(32, 3, stride=2)
    net.conv(64, 3, stride=2)
    for filters in (64, 128, 256):
        x = net.conv(filters, 3)
        net.add(Route((x,), groups=2, group_id=1))  # only the second half continues
        a = net.conv(filters // 2, 3)
        b = net.conv(filters // 2, 3)
        net.route(b, a)
        c4 = net.conv(filters, 1)
        net.route(x, c4)
        net.pool(2, stride=2)
    net.conv(512, 3)

    p5 = net.conv(256, 1)
    net.conv(512, 3)
    net.head(Yolo(tuple(anchors[3:6]), classes, scale_x_y=1.05))

    net.route(p5)
    net.conv(128, 1)
    net.route(net.upsample(), c4)
    net.conv(256, 3)
    # Darknet's own cfg takes anchors 1 to 3 here and leaves anchor 0 unused.
    net.head(Yolo(tuple(anchors[1:4]), classes, scale_x_y=1.05))
    return Network(width, height, 3, tuple(net.layers), nms_beta=NMS_BETA)


BUILT_IN: dict[str, Callable[..., Network]] = {"yolov4": yolov4, "yolov4-tiny": yolov4_tiny}
