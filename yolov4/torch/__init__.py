"""PyTorch checkpoints of YOLOv4, read without PyTorch."""
