"""The heads of a network: what the channels of the layer before one mean.

A head's channels are rows, one for each anchor: the values of a box, an objectness, and a score for
each class. How they are decoded: `graph.decode`.
"""

from dataclasses import dataclass
from typing import ClassVar

Anchors = tuple[tuple[float, float], ...]  # width and height of each


@dataclass(frozen=True)
class Head:
    """What all heads have in common."""

    anchors: Anchors  # in input pixels, the largest stride's last; of a [region] in cells
    classes: int

    section: ClassVar[str]  # its name in a `.cfg`
    box_values: ClassVar[int] = 4  # before the objectness

    @property
    def row(self) -> int:
        """How many values each anchor of a cell has."""
        return self.box_values + 1 + self.classes


@dataclass(frozen=True)
class Yolo(Head):
    """YOLOv3 and newer."""

    scale_x_y: float = 1.0
    new_coords: bool = False
    section = "yolo"


@dataclass(frozen=True)
class GaussianYolo(Head):
    """A box's values are each followed by their uncertainty (Choi et al., arXiv:1904.04620)."""

    scale_x_y: float = 1.0
    point: str = "center"  # what x and y are: center, left_top or right_bottom
    section = "Gaussian_yolo"
    box_values = 8


@dataclass(frozen=True)
class Region(Head):
    """YOLOv2: a softmax over the classes, and anchors in cells."""

    section = "region"
