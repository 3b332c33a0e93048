"""The training loop: steps, learning-rate schedule, and resumable checkpoints.

A cosine schedule after a warm-up, and an exponential moving average of the weights, which is the
result. Checkpoints are replaced atomically, so the last one is intact even if the process is
killed.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.network.heads import Yolo
from yolov4.network.network import Network
from yolov4.network.weights import Array
from yolov4.train.data import Dataset, batch, cut
from yolov4.train.forward import forward, parts
from yolov4.train.loss import Losses, Truth, losses
from yolov4.train.optimizer import Optimizer

STATISTICS_MOMENTUM = 0.03
SMALL = 128  # pixels; appearance is learned from small pictures in about half the time


@dataclass(frozen=True)
class Plan:
    """Hyperparameters; a checkpoint is resumed only with the same ones."""

    steps: int
    batch: int = 16
    towers: int = 1  # parts of the batch that run concurrently, each with its own statistics
    mosaics: int = 0  # pictures of the batch that are composed of four
    rate: float = 2e-3
    warm_up: int = 100  # steps
    decay: float = 0.05  # of kernels only, times the rate
    muon: bool = False  # for kernels, instead of AdamW: see `optimizer`
    small_steps: int = 0  # number of first steps with pictures of SMALL pixels
    average: float = 0.998  # decay of the moving average, after its warm-up
    seed: int = 0
    augment: bool = True
    checkpoint_every: int = 100  # steps

    def learning_rate(self, step: int) -> float:
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done))))


class State:
    """The content of a checkpoint."""

    def __init__(self, vector: Array, network: Network, plan: Plan) -> None:
        self.step = 0
        self.vector = tf.Variable(vector)
        self.average = tf.Variable(vector)
        self.optimizer = Optimizer(network, plan.decay, plan.muon)

    def _variables(self) -> dict[str, Any]:
        return {"vector": self.vector, "average": self.average, **self.optimizer.state}

    def save(self, path: Path, plan: Plan) -> None:
        arrays = {name: variable.numpy() for name, variable in self._variables().items()}
        temporary = path.with_name(path.name + ".unfinished")
        with temporary.open("wb") as file:
            np.savez(file, step=self.step, plan=json.dumps(asdict(plan)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def load(self, path: Path, plan: Plan) -> None:
        with np.load(path) as saved:
            if str(saved["plan"]) != json.dumps(asdict(plan)):
                raise ModelError(f"{path} was written with other options: delete it to start over")
            if saved["vector"].shape != self.vector.shape:
                raise ModelError(f"{path} was written for another network: delete it to start over")
            self.step = int(saved["step"])
            for name, variable in self._variables().items():
                variable.assign(saved[name])


def train(
    network: Network,
    vector: Array,
    data: Dataset,
    plan: Plan,
    checkpoint: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Array:
    """Train from `vector` and return the averaged weights.

    Resumes from `checkpoint` if it exists; writes it at regular intervals and when interrupted.
    """
    state = State(vector, network, plan)
    if checkpoint and checkpoint.exists():
        state.load(checkpoint, plan)
        say(f"resuming at step {state.step} from {checkpoint}")
    full = _step(network, state, plan)
    small = _step(_resized(network, SMALL), state, plan) if plan.small_steps else full
    begun, first = time.monotonic(), state.step
    recent: list[Losses] = []
    try:
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
            if checkpoint and state.step % plan.checkpoint_every == 0:
                state.save(checkpoint, plan)
    except (KeyboardInterrupt, SystemExit):
        if checkpoint and state.step > first:
            state.save(checkpoint, plan)
        raise
    if checkpoint:
        state.save(checkpoint, plan)
    result: Array = state.average.numpy()
    return result


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
