"""The states of a version, and the rule that decides which to load, retire or close next.

The rule is tensorflow/serving's `core/availability_preserving_policy.cc`: a version that is no
longer wanted goes when a wanted one serves, or when none is wanted any more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_status_pb2, status_pb2

from .servable import Servable

_State = get_model_status_pb2.ModelVersionStatus.State
START, LOADING, AVAILABLE, UNLOADING, END = (
    _State.Value(name) for name in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
)


class Action(Enum):
    """In the order of their urgency: what frees memory and takes no time comes before a load."""

    CLOSE = 1
    RETIRE = 2
    LOAD = 3


@dataclass(order=True)
class Version:
    """Ordered by number. `wanted`: the version policy asks for it now."""

    number: int
    model: str = field(compare=False)
    path: Path = field(compare=False)
    wanted: bool = field(default=True, compare=False)
    state: Any = field(default=START, compare=False)
    # Not the exception: its traceback would keep the failed Session alive.
    status: Any = field(default_factory=status_pb2.StatusProto, compare=False)
    servable: Servable | None = field(default=None, compare=False)
    in_flight: int = field(default=0, compare=False)
    attempts: int = field(default=0, compare=False)
    load_at: float = field(default=0, compare=False)  # time.monotonic() of the next load attempt

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"

    def status_text(self) -> str:
        return f"{error_codes_pb2.Code.Name(self.status.error_code)}: {self.status.error_message}"


def next_action(models: Iterable[Iterable[Version]], now: float) -> tuple[Action, Version] | None:
    """The most urgent thing to do; `models` are the versions of each model."""
    actions = [action for versions in models if (action := _of_model(list(versions), now))]
    return min(actions, key=lambda action: action[0].value, default=None)


def _of_model(versions: list[Version], now: float) -> tuple[Action, Version] | None:
    idle = [v for v in versions if v.state == UNLOADING and not v.in_flight]
    if idle:
        return Action.CLOSE, min(idle)
    wanted = [v for v in versions if v.wanted]
    outdated = [v for v in versions if v.state == AVAILABLE and not v.wanted]
    replaced = not wanted or any(v.state == AVAILABLE for v in wanted)
    if outdated and (replaced or len(outdated) > 1):
        return Action.RETIRE, min(outdated)
    due = [v for v in wanted if v.state in (START, LOADING) and v.load_at <= now]
    return (Action.LOAD, max(due)) if due else None
