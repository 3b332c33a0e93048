"""The bundled model: the scenes it was trained on, and its weights in Darknet's own formats."""
