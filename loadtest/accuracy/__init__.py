"""COCO AP of a served model."""
