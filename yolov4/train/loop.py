"""The training loop: steps, learning-rate schedule, validation, and resumable checkpoints.

A cosine schedule after a warm-up, and an exponential moving average of the weights, which is what
is validated and written. Checkpoints are replaced atomically, so the last one is intact even if the
process is killed.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.network.heads import Yolo
from yolov4.network.network import Network
from yolov4.network.weights import Array
from yolov4.train.checkpoint import History, Plan, State, Validated
from yolov4.train.data import Dataset, batch, cut
from yolov4.train.forward import forward, parts
from yolov4.train.loss import Losses, Truth, losses

STATISTICS_MOMENTUM = 0.03
SMALL = 128  # pixels; appearance is learned from small pictures in about half the time
CURVE = 200  # points of the loss curve


def train(
    network: Network,
    vector: Array,
    data: Dataset,
    plan: Plan,
    checkpoint: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    validate: Callable[[Any, int], Validated] | None = None,
    record: Callable[[History], None] = lambda history: None,
    run: dict[str, str] | None = None,
) -> Array:
    """Train from `vector` and return the averaged weights; with `validate`, the best of them.

    validate: weights and step -> their AP; at the start, every `plan.validate_every` steps and at
    the end.
    record: called after each validation and at the end. Resumes from `checkpoint` if it exists and
    is of the same `run`; writes it at regular intervals and when interrupted.
    """
    state = State(vector, network, plan, run)
    if checkpoint and checkpoint.exists():
        state.load(checkpoint)
        say(f"resuming at step {state.step} from {checkpoint}")
    full = _step(network, state, plan)
    small = _step(_resized(network, SMALL), state, plan) if plan.small_steps else full
    begun, first = time.monotonic(), state.step
    recent: list[Losses] = []
    try:
        if validate and not state.history.validations:
            _validate(state, validate, say)
        while state.step < plan.steps:
            mosaics = plan.mosaics if plan.augment else 0
            examples = batch(data, plan.seed, state.step, plan.batch, mosaics, plan.augment)
            rate = tf.constant(plan.learning_rate(state.step), tf.float32)
            step = small if state.step < plan.small_steps else full
            values = step(examples, rate, tf.constant(state.step))
            step_losses = Losses(*(float(value) for value in values))
            if not np.isfinite(step_losses.total):
                raise ModelError(f"the loss at step {state.step} is not finite: lower --rate")
            state.step += 1
            recent = [*recent[-49:], step_losses]
            say(_progress(state.step, plan, recent, time.monotonic() - begun, state.step - first))
            if state.step % max(1, plan.steps // CURVE) == 0:
                box, objectness, classes = np.mean(recent, axis=0).tolist()
                state.history.losses.append((state.step, box, objectness, classes))
            if validate and (state.step % plan.validate_every == 0 or state.step == plan.steps):
                _validate(state, validate, say)
                record(state.history)
            if checkpoint and state.step % plan.checkpoint_every == 0:
                state.save(checkpoint)
    except (KeyboardInterrupt, SystemExit):
        if checkpoint and state.step > first:
            state.save(checkpoint)
        say(_interrupted(state, plan, checkpoint))
        raise
    if checkpoint:
        state.save(checkpoint)
    record(state.history)
    result: Array = state.best if state.history.best else state.average.numpy()
    return result


def _validate(
    state: State, validate: Callable[[Any, int], Validated], say: Callable[[str], None]
) -> None:
    done = validate(state.average, state.step)
    best = state.history.best
    state.history.validations.append(done)
    if not best or done.ap > best.ap:
        state.best = state.average.numpy()
    verdict = "the best so far" if state.history.best is done else "not the best"
    say(f"validation after step {done.step}: AP {done.ap:.4f}, AP50 {done.ap50:.4f}, {verdict}")


def _interrupted(state: State, plan: Plan, checkpoint: Path | None) -> str:
    if not (checkpoint and checkpoint.exists()):
        return f"interrupted after step {state.step} of {plan.steps}: nothing is kept"
    best = state.history.best
    found = f", with the best weights so far (AP {best.ap:.4f} at step {best.step})" if best else ""
    return (
        f"interrupted after step {state.step} of {plan.steps}: {checkpoint} is kept{found}. "
        "Run the same command again to continue"
    )


def _resized(network: Network, size: int) -> Network:
    """The network for square pictures of `size` pixels, with its anchors scaled accordingly."""
    ratio = size / network.width, size / network.height
    layers = [
        replace(layer, anchors=tuple((w * ratio[0], h * ratio[1]) for w, h in layer.anchors))
        if isinstance(layer, Yolo)
        else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers)).resized(size, size)


def _step(network: Network, state: State, plan: Plan) -> Callable[..., Losses]:
    """One training step as one graph."""
    statistic = parts(network).statistic
    mosaics = plan.mosaics if plan.augment else 0

    def step(examples: Any, rate: Any, number: Any) -> Losses:
        pictures = cut(examples, mosaics, network.width, network.height)
        gradient, measured = 0.0, 0.0
        losses_of: list[Losses] = []
        for k in range(plan.towers):
            mine = slice(k * plan.batch // plan.towers, (k + 1) * plan.batch // plan.towers)
            vector = tf.identity(state.vector)
            with tf.GradientTape() as tape:
                tape.watch(vector)
                heads, statistics = forward(network, vector, pictures[mine])
                truth = Truth(examples.boxes[mine], examples.classes[mine])
                losses_of.append(losses(network, heads, truth))
                total = losses_of[-1].total
            gradient += tf.convert_to_tensor(tape.gradient(total, vector)) / plan.towers
            measured += statistics / plan.towers
        count = tf.cast(number, tf.float32) + 1.0
        learnt = state.optimizer.move(state.vector, gradient, rate, count)
        running = state.vector + STATISTICS_MOMENTUM * (measured - state.vector)
        vector = state.vector.assign(tf.where(statistic, running, learnt))
        decay = tf.minimum(plan.average, (1.0 + count) / (10.0 + count))
        state.average.assign(decay * state.average + (1.0 - decay) * vector)
        return Losses(*(sum(part) / plan.towers for part in zip(*losses_of, strict=True)))

    graph: Callable[..., Losses] = tf.function(step, autograph=False)
    return graph


def _progress(step: int, plan: Plan, recent: list[Losses], seconds: float, done: int) -> str:
    box, objectness, classes = np.mean(recent, axis=0)
    filled = 24 * step // plan.steps
    left = seconds / done * (plan.steps - step)
    return (
        f"[{'#' * filled}{'.' * (24 - filled)}] {step}/{plan.steps}  box {box:.3f}  "
        f"objectness {objectness:.3f}  classes {classes:.3f}  "
        f"{done * plan.batch / seconds:.0f} pictures/s  {left / 60:.0f} min left"
    )


def bar(line: str) -> None:
    """Show a line: progress over the last such line on a terminal, every 50th step in a log."""
    progress = line.startswith("[")
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}\x1b[K" if progress else f"\r{line}\x1b[K\n")
    elif not progress or int(line.split("] ")[1].split("/")[0]) % 50 == 0:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()
