"""The sections of a `.cfg` that are supported, and what becomes of each of their keys.

The keys are those of Darknet (AlexeyAB/darknet, src/parser.c). [net], which is mostly about
training, may contain any key; only a few are used.
"""

from typing import NamedTuple

ACTIVATIONS = (
    *("elu", "gelu", "hard_mish", "leaky", "linear", "logistic", "mish", "ramp", "relu", "relu6"),
    *("selu", "swish", "tanh"),
)


class Keys(NamedTuple):
    """The keys of one kind of section, with spaces between."""

    used: str
    refused: str = ""  # each with the value, if any, that has no effect
    training: str = ""


KEYS = {
    "net": Keys("width height channels letter_box", refused="time_steps=1"),
    "convolutional": Keys(
        "filters size stride stride_x stride_y pad padding groups batch_normalize cbn activation "
        "dilation",
        refused="antialiasing=0 binary=0 xnor=0 bin_output=0 share_index= sway=0 "
        "rotate=0 stretch=0 stretch_sway=0 flipped=0 coordconv=0 dontload=0 dontloadscales=0",
        training="angle assisted_excitation dot grad_centr reverse stream wait_stream",
    ),
    "shortcut": Keys("from activation", refused="weights_type=none weights_normalization=none"),
    "route": Keys("layers groups group_id", training="stream wait_stream"),
    "maxpool": Keys(
        "size stride stride_x stride_y padding",
        refused="antialiasing=0 maxpool_depth=0 maxpool_zero_nonmax=0",
        training="out_channels",  # of maxpool_depth
    ),
    "local_avgpool": Keys("size stride stride_x stride_y padding"),
    "avgpool": Keys(""),
    "scale_channels": Keys("from activation scale_wh"),
    "sam": Keys("from activation"),
    "reorg": Keys("stride", refused="reverse=0"),
    "reorg3d": Keys("stride", refused="reverse=0"),
    "upsample": Keys("stride", refused="scale=1"),
    "dropout": Keys("", training="probability dropblock dropblock_size_abs dropblock_size_rel"),
    "contrastive": Keys(
        "",
        training="classes cls_normalizer contrastive_neg_max max_delta temperature yolo_layer",
    ),
    "yolo": Keys(
        "anchors mask num classes scale_x_y new_coords nms_kind beta_nms",
        training="beta1 cls_normalizer counters_per_class delta_normalizer dets_for_show "
        "dets_for_track embedding_layer focal_loss ignore_thresh iou_loss iou_normalizer "
        "iou_thresh iou_thresh_kind jitter label_smooth_eps map max max_delta "
        "obj_normalizer objectness_smooth random resize show_details sim_thresh track_ciou_norm "
        "track_history_size truth_thresh uc_normalizer",
    ),
    "Gaussian_yolo": Keys(
        "anchors mask num classes scale_x_y nms_kind beta_nms yolo_point",
        training="cls_normalizer counters_per_class delta_normalizer ignore_thresh iou_loss "
        "iou_normalizer iou_thresh iou_thresh_kind jitter label_smooth_eps map max max_delta "
        "obj_normalizer objectness_smooth random resize truth_thresh uc_normalizer",
    ),
    "region": Keys(
        "anchors num classes softmax",
        refused="coords=4 tree= classfix=0",
        training="absolute bias_match class_scale coord_scale focal_loss jitter log map "
        "mask_scale max noobject_scale object_scale random rescore resize sqrt thresh",
    ),
}
TRAINING_ANYWHERE = (
    "burnin_update clip dont_update learning_rate onlyforward show_receptive_field stopbackward "
    "train_only_bn"
)
SAME = {"network": "net", "conv": "convolutional", "max": "maxpool", "avg": "avgpool"}
