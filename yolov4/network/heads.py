"""The heads of a network: what the channels of the layer before one mean."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Yolo:
    """A head: what the previous layer's channels mean."""

    anchors: tuple[tuple[float, float], ...]  # width, height in input pixels, largest stride last
    classes: int
    scale_x_y: float = 1.0
    new_coords: bool = False
