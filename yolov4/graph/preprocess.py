"""From encoded pictures to the network's input, and boxes back to the picture.

A picture is stretched to the input size, which is what the weights were trained and are evaluated
with. If the `.cfg` says `letter_box=1`, it keeps its aspect ratio and gets grey borders instead.
"""

from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network.network import Network

Tensor: TypeAlias = Any  # tensorflow ships no types

BORDER = 0.5  # grey, as Darknet's


def preprocess(network: Network, image: Tensor) -> tuple[Tensor, Tensor]:
    """RGB (or grey, if the network has one channel), resized bilinearly, 0..1.

    image: string [N], encoded. Returns float32 [N, height, width, channels], stretched with
    half-pixel centres or letterboxed, and int32 [N, 2], height and width of each picture before.
    """
    input_size = [network.height, network.width]

    def one(encoded: Tensor) -> tuple[Tensor, Tensor]:
        # The op also reads PNG. INTEGER_ACCURATE is libjpeg's default and so what OpenCV and Pillow
        # decode with; TensorFlow's own default is a faster, coarser transform.
        picture = tf.io.decode_jpeg(
            encoded, channels=network.channels, dct_method="INTEGER_ACCURATE"
        )
        size = tf.shape(picture)[:2]
        if network.letter_box:
            return _with_borders(network, picture, size), size
        resized = tf.image.resize(picture, input_size, method="bilinear", antialias=False)
        return resized, size

    pixels, sizes = tf.map_fn(
        one,
        image,
        fn_output_signature=(
            tf.TensorSpec([*input_size, network.channels], tf.float32),
            tf.TensorSpec([2], tf.int32),
        ),
        parallel_iterations=32,
    )
    return pixels / 255.0, sizes


def _with_borders(network: Network, picture: Tensor, size: Tensor) -> Tensor:
    """Source: letterbox_image and resize_image in Darknet's src/image.c.

    Its resizing aligns the centres of the corner pixels. With half-pixel centres the boxes of
    YOLOv4-tiny have a mean IoU of 0.98 with Darknet's.
    """
    inner = letterboxed(network, size)
    resized = tf.raw_ops.ResizeBilinear(
        images=picture[tf.newaxis], size=inner, align_corners=True, half_pixel_centers=False
    )[0]
    outside = np.array([network.height, network.width]) - inner
    before = outside // 2
    borders = tf.pad(tf.stack([before, outside - before], axis=1), [[0, 1], [0, 0]])
    return tf.pad(resized, borders, constant_values=255.0 * BORDER)


def letterboxed(network: Network, size: Tensor) -> Tensor:
    """Height and width of a picture within the input, int32 [2], from its size, int32 [2].

    Source: letterbox_image in Darknet's src/image.c, whose division rounds down.
    """
    height, width = size[0], size[1]
    ratios = tf.constant([network.height, network.width], tf.float32) / tf.cast(size, tf.float32)
    wide = ratios[1] < ratios[0]
    inner = tf.where(
        wide,
        tf.stack([height * network.width // width, network.width]),
        tf.stack([network.height, width * network.height // height]),
    )
    return tf.maximum(inner, 1)


def to_picture(network: Network, boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes xyxy [K, 4] from fractions of the input to fractions of the picture of this size.

    Source: correct_yolo_boxes in Darknet's src/yolo_layer.c.
    """
    if not network.letter_box:
        return boxes
    input_size = tf.constant([network.width, network.height], tf.float32)
    inner = tf.cast(letterboxed(network, size)[::-1], tf.float32) / input_size
    return (boxes - tf.tile((1.0 - inner) / 2.0, [2])) / tf.tile(inner, [2])
