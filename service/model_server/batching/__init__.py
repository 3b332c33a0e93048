"""--enable_batching: its parameters, the queues, and joining requests to a batch."""
