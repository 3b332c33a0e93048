"""Layers that OpenCV does not read, as scalar loops after Darknet's source.

Source: AlexeyAB/darknet, src/activations.h, src/activations.c, src/blas.c, src/maxpool_layer.c,
src/convolutional_layer.c, src/scale_channels_layer.c. Arrays are Darknet's, [channels, height,
width].
"""

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def activate(name: str, x: float) -> float:
    """One value through `activate` of src/activations.c."""
    match name:
        case "relu6":
            return min(max(x, 0), 6)
        case "hard_mish":
            if x > 0:
                return x
            return x * x / 2 + x if x > -2 else 0
        case "elu":
            return x if x >= 0 else math.exp(x) - 1
        case "selu":
            return 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (math.exp(x) - 1)
        case "gelu":
            return 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3))
        case "ramp":
            return x * (x > 0) + 0.1 * x
        case "tanh":
            return 2 / (1 + math.exp(-2 * x)) - 1
        case "leaky":
            return x if x > 0 else 0.1 * x
        case "linear":
            return x
        case "relu":
            return x * (x > 0)
        case "logistic":
            return 1 / (1 + math.exp(-x))
        case "swish":
            return x / (1 + math.exp(-x))
        case "mish":
            return x * math.tanh(math.log(1 + math.exp(x)))
    raise AssertionError(name)


def reorg_cpu(x: Array, out_w: int, out_h: int, out_c: int, stride: int) -> Array:
    """Return the flat `out` of reorg_cpu with forward=0, of a flat x."""
    out = np.empty(out_w * out_h * out_c, x.dtype)
    in_c = out_c // (stride * stride)
    for k in range(out_c):
        for j in range(out_h):
            for i in range(out_w):
                c2, offset = k % in_c, k // in_c
                w2 = i * stride + offset % stride
                h2 = j * stride + offset // stride
                at = w2 + out_w * stride * (h2 + out_h * stride * c2)
                out[i + out_w * (j + out_h * k)] = x[at]
    return out


def reorg(x: Array, stride: int, old: bool) -> Array:
    """[reorg] if `old`, otherwise [reorg3d]: what their layers make of reorg_cpu."""
    c, h, w = x.shape
    size = (c * stride * stride, h // stride, w // stride)
    # The old layer passes its input's size.
    out_c, out_h, out_w = x.shape if old else size
    return reorg_cpu(x.ravel(), out_w, out_h, out_c, stride).reshape(size)


def local_avgpool(x: Array, size: int, stride: int, padding: int) -> Array:
    """forward_local_avgpool_layer."""
    c, h, w = x.shape
    out_h, out_w = (h + padding - size) // stride + 1, (w + padding - size) // stride + 1
    out = np.empty((c, out_h, out_w), np.float32)
    offset = -(padding // 2)
    for k in range(c):
        for i in range(out_h):
            for j in range(out_w):
                total, counter = 0.0, 0
                for n in range(size):
                    for m in range(size):
                        row, column = offset + i * stride + n, offset + j * stride + m
                        if 0 <= row < h and 0 <= column < w:
                            counter += 1
                            total += float(x[k, row, column])
                out[k, i, j] = total / counter
    return out


def scale_channels(x: Array, source: Array, scale_wh: bool) -> Array:
    """forward_scale_channels_layer; x is [channels, 1, 1] or, with scale_wh, [1, height, width]."""
    out = np.empty_like(source)
    _, h, w = source.shape
    for i in range(source.size):
        channel_size = h * w
        at = i % channel_size if scale_wh else i // channel_size
        out.flat[i] = x.flat[at] * source.flat[i]
    return out


def convolve(x: Array, kernels: Array, pad: int, stride: int, dilation: int) -> Array:
    """im2col_cpu_ext and gemm; kernels are [filters, channels, size, size]."""
    filters, _, size, _ = kernels.shape
    _, h, w = x.shape
    out_h, out_w = (h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1
    out = np.zeros((filters, out_h, out_w), np.float64)
    for i in range(out_h):
        for j in range(out_w):
            for n in range(size):
                for m in range(size):
                    row = i * stride - pad * dilation + n * dilation
                    column = j * stride - pad * dilation + m * dilation
                    if 0 <= row < h and 0 <= column < w:
                        out[:, i, j] += kernels[:, :, n, m] @ x[:, row, column]
    return out.astype(np.float32)
