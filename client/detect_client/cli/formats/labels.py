"""Labels that name the same class: Darknet and VOC write six of COCO's 80 in another way."""

SYNONYMS = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


def canonical(label: str) -> str:
    """COCO's word, in lower case."""
    label = label.casefold()
    return SYNONYMS.get(label, label)
