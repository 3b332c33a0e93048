"""Darknet's own resizing and letterboxing of pictures, after src/image.c, without shared code.

Pictures are float32 [height, width, channels], 0..1.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def resize_image(im: Array, w: int, h: int) -> Array:
    """Rows first, then columns, as there; from the centre of one corner pixel to the other's."""
    im_h, im_w, channels = im.shape
    if (im_w, im_h) == (w, h):
        return im.copy()
    part = np.empty((im_h, w, channels), np.float32)
    w_scale = np.float32(im_w - 1) / np.float32(max(w - 1, 1))
    h_scale = np.float32(im_h - 1) / np.float32(max(h - 1, 1))
    for c in range(w):
        if c == w - 1 or im_w == 1:
            part[:, c] = im[:, im_w - 1]
        else:
            sx = np.float32(c) * w_scale
            ix = int(sx)
            dx = sx - np.float32(ix)
            part[:, c] = (1 - dx) * im[:, ix] + dx * im[:, ix + 1]
    resized = np.empty((h, w, channels), np.float32)
    for r in range(h):
        sy = np.float32(r) * h_scale
        iy = int(sy)
        dy = sy - np.float32(iy)
        resized[r] = (1 - dy) * part[iy]
        if r == h - 1 or im_h == 1:
            continue
        resized[r] += dy * part[iy + 1]
    return resized


def letterbox_image(im: Array, w: int, h: int) -> Array:
    im_h, im_w, channels = im.shape
    if np.float32(w) / np.float32(im_w) < np.float32(h) / np.float32(im_h):
        new_w, new_h = w, (im_h * w) // im_w
    else:
        new_w, new_h = (im_w * h) // im_h, h
    boxed = np.full((h, w, channels), 0.5, np.float32)
    top, left = (h - new_h) // 2, (w - new_w) // 2
    boxed[top : top + new_h, left : left + new_w] = resize_image(im, new_w, new_h)
    return boxed
