"""`train-demo`: draws scenes and trains the bundled model."""

import argparse
from pathlib import Path

from yolov4.errors import ModelError
from yolov4.train.commands.run import quiet, run

# The bundled model. With fewer residual blocks than YOLOv4's 1, 2, 8, 8 and 4, a step learns as
# much in a sixth less time. The scenes have the seeds 0, 1, ...
DEMO_SIZE = 224
# Larger than in training, where crops enlarge the shapes (Touvron et al., FixRes).
DEMO_SERVED_SIZE = 288
DEMO_WIDTH_MULTIPLIER = 0.117  # 2.8 MB of weights
DEMO_BLOCKS = (1, 1, 2, 2, 1)
DEMO_SCENES = 8000
DEMO_STEPS = 14_500
DEMO_SMALL_SHARE = 0.42  # of the steps
DEMO_RATE = 6e-3
DEMO_TOWERS = 2  # cores


def add_train_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "train-demo", help="draw scenes and train the bundled model from scratch"
    )
    demo.set_defaults(run=_train_demo)
    demo.add_argument(
        "--out", type=Path, default=Path("trained"), help="output folder (default: %(default)s)"
    )
    demo.add_argument("--steps", type=int, default=DEMO_STEPS, help="(default: %(default)s)")
    demo.add_argument("--scenes", type=int, default=DEMO_SCENES, help="(default: %(default)s)")


def _train_demo(options: argparse.Namespace) -> None:
    quiet()
    import tensorflow as tf

    from yolov4.demo.scenes import write_scenes
    from yolov4.network.architecture import yolov4
    from yolov4.train.anchors import find_anchors
    from yolov4.train.checkpoint import Plan
    from yolov4.train.data import read_coco
    from yolov4.train.forward import initial
    from yolov4.train.loop import bar

    if min(options.steps, options.scenes) < 1:
        raise ModelError("--steps and --scenes must be at least 1")
    # So narrow a network uses only one core: half of each batch on each core is 1.5 times as fast
    # as one batch on both.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(DEMO_TOWERS)
    scenes = options.out / "scenes"
    annotations = scenes / "instances.json"
    if not annotations.exists():
        bar(f"drawing {options.scenes} scenes in {scenes}")
        write_scenes(range(options.scenes), scenes)
    data = read_coco(annotations, scenes, DEMO_SIZE, DEMO_SIZE)
    anchors = find_anchors(data, 9, DEMO_SIZE, DEMO_SIZE)
    size = DEMO_SIZE, DEMO_SIZE
    network = yolov4(*size, len(data.names), DEMO_WIDTH_MULTIPLIER, anchors, DEMO_BLOCKS)
    plan = Plan(
        options.steps,
        towers=DEMO_TOWERS,
        rate=DEMO_RATE,
        muon=True,
        small_steps=int(DEMO_SMALL_SHARE * options.steps),
    )
    served = DEMO_SERVED_SIZE, DEMO_SERVED_SIZE
    run(options.out, "demo", network, initial(network, plan.seed), data, plan, served)
