"""Comparison of an exported model with its float32 reference: heads, detections and AP."""
