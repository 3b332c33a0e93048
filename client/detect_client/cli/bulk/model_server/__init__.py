"""TensorFlow Serving without the gateway, whose work on a picture the worker does."""
