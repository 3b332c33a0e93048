"""The command line: `train`, `draw-scenes` and `train-demo`."""
