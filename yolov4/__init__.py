"""The model, at build time: Darknet's files in, a SavedModel for TensorFlow Serving out."""
