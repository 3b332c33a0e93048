"""Training: pictures with COCO annotations in, Darknet's `.cfg`, `.weights` and `.names` out."""
