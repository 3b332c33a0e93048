"""The twelve shapes of the bundled model, each a silhouette with some detail.

A shape is drawn on a unit square, x to the right and y down, and touches or nearly touches all four
of its sides. `Pen` scales it to pixels.
"""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Pen:
    """Draws in units of the square. `body` and `detail` are the two colours; None is a hole."""

    def __init__(self, size: int, body: Colour, detail: Colour) -> None:
        self.size, self.body, self.detail = size, body, detail
        # Transparent, but in the body's colour, so that resizing leaves no dark edge.
        self.image = Image.new("RGBA", (size, size), (*body, 0))
        self._draw = ImageDraw.Draw(self.image)

    def _fill(self, colour: Colour | None) -> tuple[int, int, int, int]:
        return (*colour, 255) if colour else (*self.body, 0)

    def _scale(self, points: Sequence[Point]) -> list[Point]:
        return [(x * (self.size - 1), y * (self.size - 1)) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour | None) -> None:
        self._draw.polygon(self._scale(points), fill=self._fill(colour))

    def ellipse(self, box: Box, colour: Colour | None) -> None:
        self._draw.ellipse(self._pixels(box), fill=self._fill(colour))

    def rectangle(self, box: Box, colour: Colour | None) -> None:
        self._draw.rectangle(self._pixels(box), fill=self._fill(colour))

    def _pixels(self, box: Box) -> Box:
        (x_min, y_min), (x_max, y_max) = self._scale([box[:2], box[2:]])
        return x_min, y_min, x_max, y_max


def star(pen: Pen) -> None:
    def ring(radius: float) -> list[Point]:
        angles = [math.pi * (i / 5 - 0.5) for i in range(10)]
        radii = [radius if i % 2 == 0 else 0.42 * radius for i in range(10)]
        return [
            (0.5 + r * math.cos(a), 0.53 + r * math.sin(a))
            for r, a in zip(radii, angles, strict=True)
        ]

    pen.polygon(ring(0.53), pen.body)
    pen.polygon(ring(0.22), pen.detail)


def heart(pen: Pen) -> None:
    def outline(scale: float) -> list[Point]:
        points = []
        for i in range(48):
            t = 2 * math.pi * i / 48
            x = 16 * math.sin(t) ** 3
            y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            points.append((0.5 + scale * x / 32, 0.44 - scale * y / 29))
        return points

    pen.polygon(outline(1.0), pen.body)
    pen.polygon(outline(0.45), pen.detail)


def arrow(pen: Pen) -> None:
    pen.polygon(
        [(0, 0.36), (0.5, 0.36), (0.5, 0.1), (1, 0.5), (0.5, 0.9), (0.5, 0.64), (0, 0.64)],
        pen.body,
    )
    pen.rectangle((0.06, 0.45, 0.66, 0.55), pen.detail)


def cross(pen: Pen) -> None:
    pen.rectangle((0.3, 0, 0.7, 1), pen.body)
    pen.rectangle((0, 0.3, 1, 0.7), pen.body)
    pen.rectangle((0.4, 0.08, 0.6, 0.92), pen.detail)
    pen.rectangle((0.08, 0.4, 0.92, 0.6), pen.detail)


def ring(pen: Pen) -> None:
    pen.ellipse((0, 0, 1, 1), pen.body)
    pen.ellipse((0.1, 0.1, 0.9, 0.9), pen.detail)
    pen.ellipse((0.17, 0.17, 0.83, 0.83), pen.body)
    pen.ellipse((0.27, 0.27, 0.73, 0.73), None)


def crescent(pen: Pen) -> None:
    pen.ellipse((0, 0, 1, 1), pen.body)
    pen.ellipse((0.42, 0.12, 1.18, 0.88), None)
    pen.ellipse((0.08, 0.38, 0.32, 0.62), pen.detail)


def house(pen: Pen) -> None:
    pen.polygon([(0, 0.46), (0.5, 0), (1, 0.46)], pen.detail)
    pen.rectangle((0.12, 0.46, 0.88, 1), pen.body)
    pen.rectangle((0.2, 0.58, 0.42, 0.78), pen.detail)
    pen.rectangle((0.56, 0.6, 0.76, 1), pen.detail)


def tree(pen: Pen) -> None:
    pen.rectangle((0.42, 0.75, 0.58, 1), pen.detail)
    for top, half in ((0.0, 0.26), (0.2, 0.36), (0.42, 0.46)):
        pen.polygon([(0.5, top), (0.5 - half, top + 0.36), (0.5 + half, top + 0.36)], pen.body)


def fish(pen: Pen) -> None:
    pen.polygon([(0.62, 0.5), (1, 0.22), (0.92, 0.5), (1, 0.78)], pen.body)
    pen.polygon([(0.3, 0.3), (0.52, 0.1), (0.6, 0.34)], pen.detail)
    pen.ellipse((0, 0.22, 0.76, 0.78), pen.body)
    pen.ellipse((0.13, 0.38, 0.24, 0.49), pen.detail)
    pen.polygon([(0.36, 0.36), (0.42, 0.5), (0.36, 0.64), (0.5, 0.5)], pen.detail)


def cup(pen: Pen) -> None:
    pen.ellipse((0.5, 0.25, 1, 0.8), pen.body)
    pen.ellipse((0.6, 0.37, 0.88, 0.68), None)
    pen.polygon([(0, 0.1), (0.76, 0.1), (0.68, 0.95), (0.08, 0.95)], pen.body)
    pen.ellipse((0, 0, 0.76, 0.2), pen.detail)
    pen.polygon([(0.05, 0.5), (0.71, 0.5), (0.7, 0.64), (0.07, 0.64)], pen.detail)


def key(pen: Pen) -> None:
    pen.rectangle((0.4, 0.38, 1, 0.6), pen.body)
    pen.rectangle((0.64, 0.5, 0.76, 0.82), pen.body)
    pen.rectangle((0.86, 0.5, 1, 0.88), pen.body)
    pen.ellipse((0, 0.18, 0.6, 0.78), pen.body)
    pen.ellipse((0.08, 0.26, 0.52, 0.7), pen.detail)
    pen.ellipse((0.18, 0.36, 0.42, 0.6), None)


def umbrella(pen: Pen) -> None:
    pen.rectangle((0.46, 0.4, 0.54, 0.9), pen.detail)
    pen.ellipse((0.46, 0.76, 0.76, 1), pen.detail)
    pen.ellipse((0.54, 0.72, 0.68, 0.92), None)
    pen.rectangle((0.555, 0.7, 0.8, 0.86), None)
    canopy = [(0.5 - 0.5 * math.cos(a), 0.5 - 0.5 * math.sin(a)) for a in _half_turn(24)]
    pen.polygon(canopy, pen.body)
    middle = [(0.5 - 0.16 * math.cos(a), 0.5 - 0.5 * math.sin(a)) for a in _half_turn(24)]
    pen.polygon(middle, pen.detail)
    for x in (0.0, 1 / 3, 2 / 3):
        pen.ellipse((x, 0.44, x + 1 / 3, 0.58), None)
    pen.rectangle((0.46, 0.4, 0.54, 0.76), pen.detail)


def _half_turn(steps: int) -> list[float]:
    return [math.pi * i / steps for i in range(steps + 1)]


SHAPES: dict[str, Callable[[Pen], None]] = {
    shape.__name__: shape
    for shape in (
        *(star, heart, arrow, cross, ring, crescent),
        *(house, tree, fish, cup, key, umbrella),
    )
}
# The usual colours of body and detail.
COLOURS: dict[str, tuple[Colour, Colour]] = {
    "star": ((250, 205, 30), (205, 80, 20)),  # yellow, orange
    "heart": ((215, 30, 45), (255, 170, 190)),  # red, pink
    "arrow": ((90, 220, 40), (20, 85, 30)),  # lime, dark green
    "cross": ((245, 245, 245), (215, 35, 35)),  # white, red
    "ring": ((225, 40, 195), (60, 230, 230)),  # magenta, cyan
    "crescent": ((255, 245, 165), (30, 40, 130)),  # pale yellow, navy
    "house": ((170, 80, 40), (250, 230, 175)),  # brick, cream
    "tree": ((20, 120, 50), (125, 75, 35)),  # green, brown
    "fish": ((40, 200, 235), (250, 130, 30)),  # cyan, orange
    "cup": ((50, 90, 235), (250, 230, 90)),  # blue, yellow
    "key": ((255, 125, 15), (60, 30, 15)),  # orange, dark brown
    "umbrella": ((135, 60, 205), (250, 140, 215)),  # violet, pink
}
