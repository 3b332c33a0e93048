"""The words that other services' clients match on: COCO's, where Darknet's six differ."""

COCO = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


def coco_label(label: str) -> str:
    """The label as COCO writes it; any other as the model has it."""
    return COCO.get(label, label)
