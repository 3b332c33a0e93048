"""The official COCO weights, downloaded and checked."""
