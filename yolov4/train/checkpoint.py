"""The state of a training run, and its checkpoint file, which only the same run resumes."""

import json
import os
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.network.network import Network
from yolov4.network.weights import Array
from yolov4.train.optimizer import Optimizer


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
    validate_every: int = 0  # steps

    def learning_rate(self, step: int) -> float:
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done))))


@dataclass(frozen=True)
class Validated:
    """AP on the validation pictures after a step; None for a class that has no object there."""

    step: int
    ap: float  # at IoU 0.50:0.95
    ap50: float
    classes: dict[str, tuple[float | None, float | None]]  # AP and AP50 of each


@dataclass
class History:
    losses: list[tuple[int, float, float, float]] = field(default_factory=list)  # step, means
    validations: list[Validated] = field(default_factory=list)

    @property
    def best(self) -> Validated | None:
        """The validation with the highest AP at IoU 0.50:0.95, the earliest of equal ones."""
        return max(self.validations, key=lambda done: done.ap, default=None)


class State:
    """The content of a checkpoint.

    run: what the run was made from besides its plan, each with a fingerprint: see `load`.
    """

    def __init__(
        self, vector: Array, network: Network, plan: Plan, run: dict[str, str] | None = None
    ) -> None:
        self.step = 0
        self.vector = tf.Variable(vector)
        self.average = tf.Variable(vector)
        self.best: Array = vector  # the averaged weights of `history.best`
        self.history = History()
        self.optimizer = Optimizer(network, plan.decay, plan.muon)
        self._plan = plan
        self._run = {**(run or {}), "network": repr(network)}

    def _variables(self) -> dict[str, Any]:
        return {"vector": self.vector, "average": self.average, **self.optimizer.state}

    def save(self, path: Path) -> None:
        arrays = {name: variable.numpy() for name, variable in self._variables().items()}
        about = {"plan": asdict(self._plan), "run": self._run, "history": asdict(self.history)}
        temporary = path.with_name(path.name + ".unfinished")
        with temporary.open("wb") as file:
            np.savez(file, step=self.step, about=json.dumps(about), best=self.best, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint. ModelError unless the same run wrote it."""
        advice = "To start over, delete it; to keep it, choose another --out or --name"
        try:
            with path.open("rb") as file, np.load(file) as saved:
                about = json.loads(str(saved["about"]))
                differences = self._differences(about)
                if differences:
                    raise ModelError(
                        f"{path} belongs to a run with other {' and other '.join(differences)}. "
                        f"{advice}"
                    )
                for name, variable in self._variables().items():
                    variable.assign(saved[name])
                self.step, self.best = int(saved["step"]), saved["best"]
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"{path} is not a checkpoint of this version, or is damaged. {advice}"
            ) from error
        history = about["history"]
        self.history = History(
            [(int(step), *map(float, means)) for step, *means in history["losses"]],  # type: ignore[misc]
            [Validated(**done) for done in history["validations"]],
        )

    def _differences(self, about: dict[str, Any]) -> list[str]:
        run, ours = about["run"], self._run
        names = [name for name in {**run, **ours} if run.get(name) != ours.get(name)]
        plan = about["plan"]
        options = [key for key, value in asdict(self._plan).items() if plan.get(key) != value]
        return names + ([f"options ({', '.join(options)})"] if options else [])
