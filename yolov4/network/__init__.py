"""Networks as plain data: layers, the built-in architectures, and the numbers they need."""
