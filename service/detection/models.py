"""The domain's types: a caller's query, a model server's prediction, a picture's result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Box(NamedTuple):
    """Corners in pixels of the picture as shown, clipped to it."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Detection(NamedTuple):
    """`score`: objectness x class score, 0 to 1. `class_id`: the label's index in the model."""

    label: str
    class_id: int
    score: float
    box: Box


class Query(NamedTuple):
    """Which detections the caller asks for. `labels`: only these; empty for all."""

    score_threshold: float
    max_detections: int
    labels: frozenset[str]


class Result(NamedTuple):
    """Detections by falling score, the picture's size in pixels as shown, the model."""

    model: str
    version: int
    width: int
    height: int
    detections: list[Detection]
    track: str = "stable"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model server's answer, best first. `boxes` is flat: four floats for each of `count`
    detections, in pixels of the picture that was sent, not clipped."""

    version: int
    count: int
    boxes: Sequence[float]
    scores: Sequence[float]
    classes: Sequence[int]
    labels: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The properties of a model version. `labels` by class id, `input_size` width and height in
    pixels; empty or None is what it does not tell."""

    version: int
    labels: tuple[str, ...] = ()
    input_size: tuple[int, int] | None = None
    precision: str | None = None
    target: str | None = None


class Predictor(Protocol):
    """One version of a model. Raises the errors of errors.py."""

    async def predict(self, picture: bytes, timeout_s: float, isolated: bool = False) -> Prediction:
        """`isolated`: not in a batch with pictures that may be damaged."""

    async def number(self, timeout_s: float) -> int:
        """The number of the version that would answer."""


class Backend(Predictor, Protocol):
    """One or more model servers."""

    def at(self, version: str) -> Predictor:
        """Another version, by number or label; its calls raise NotFound if it is not served."""

    @property
    def current(self) -> int:
        """The version of the last health check; 0 for none."""

    async def version(self, timeout_s: float) -> int: ...
    def models(self) -> Sequence[ModelInfo]: ...
