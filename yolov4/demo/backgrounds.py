"""Backgrounds of the drawn scenes: gradients, stripes, checks, clouds and blobs."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Rng: TypeAlias = np.random.Generator
Pixels: TypeAlias = npt.NDArray[np.float32]  # [height, width, 3], 0..255


def background(rng: Rng, width: int, height: int) -> Pixels:
    """A texture of a random kind and contrast."""
    kind = KINDS[rng.integers(len(KINDS))]
    pixels = kind(rng, width, height)
    if rng.random() < 0.5:  # reduce the contrast
        pixels += (pixels.mean(axis=(0, 1)) - pixels) * np.float32(rng.uniform(0.2, 0.8))
    return pixels


def _colours(rng: Rng, count: int) -> Pixels:
    """Muted colours, as of walls, tables and meadows: float32 [count, 3]."""
    grey, tint = rng.uniform(35, 225, (count, 1)), rng.uniform(-35, 35, (count, 3))
    return np.clip(grey + tint, 0, 255).astype(np.float32)


def _mix(share: npt.NDArray[np.float32], first: Pixels, second: Pixels) -> Pixels:
    return first + (second - first) * share[..., None]


def _along(rng: Rng, width: int, height: int) -> npt.NDArray[np.float32]:
    """Position of each pixel along a random direction, 0..1 over the picture's diagonal."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.arange(width, dtype=np.float32) * np.float32(np.cos(angle))
    y = np.arange(height, dtype=np.float32) * np.float32(np.sin(angle))
    distance = x[None] + y[:, None]
    return np.asarray((distance - distance.min()) / np.hypot(width, height), np.float32)


def plain(rng: Rng, width: int, height: int) -> Pixels:
    return np.broadcast_to(_colours(rng, 1), (height, width, 3)).copy()


def gradient(rng: Rng, width: int, height: int) -> Pixels:
    return _mix(_along(rng, width, height), *_colours(rng, 2))


def stripes(rng: Rng, width: int, height: int) -> Pixels:
    waves = np.sin(_along(rng, width, height) * np.float32(rng.uniform(15, 120)))
    hard = np.float32(rng.uniform(1, 8))
    return _mix(np.clip(waves * hard, -1, 1) * 0.5 + 0.5, *_colours(rng, 2))


def checks(rng: Rng, width: int, height: int) -> Pixels:
    side = int(rng.integers(8, 70))
    odd = (np.arange(width)[None] // side + np.arange(height)[:, None] // side) % 2
    return _mix(odd.astype(np.float32), *_colours(rng, 2))


def clouds(rng: Rng, width: int, height: int) -> Pixels:
    cells = int(rng.integers(3, 40))
    small = _colours(rng, cells * cells).reshape(cells, cells, 3).astype(np.uint8)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float32).copy()


def blobs(rng: Rng, width: int, height: int) -> Pixels:
    colours = [tuple(int(c) for c in colour) for colour in _colours(rng, 5)]
    image = Image.new("RGB", (width, height), colours[0])
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(8, 40))):
        x, y = rng.uniform(-0.1, 1, 2) * (width, height)
        w, h = rng.uniform(0.03, 0.35, 2) * min(width, height)
        colour = colours[rng.integers(1, 5)]
        if rng.random() < 0.6:
            draw.ellipse((x, y, x + w, y + h), fill=colour)
        else:
            draw.polygon([(x, y + h), (x + w, y + h * rng.random()), (x + w / 2, y)], fill=colour)
    return np.asarray(image, np.float32).copy()


KINDS: tuple[Callable[[Rng, int, int], Pixels], ...] = (
    *(plain, gradient, stripes, checks, clouds, blobs),
)
