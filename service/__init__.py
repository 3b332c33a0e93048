"""The gateway: HTTP in, gRPC out. It turns the model server's numbers into words and pixels."""

__version__ = "0.1.0"
