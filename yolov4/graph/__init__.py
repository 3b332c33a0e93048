"""The TensorFlow graph: the network's body, box decoding and NMS, and the number formats."""
