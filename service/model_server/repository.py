"""The model repository: the state of each version, and which version serves a request.

One lock, `changed`, guards everything here. Requests look a version up, count themselves in while
they use it, and read states; only the manager's thread changes a state. What takes long, loading
and closing, happens outside the lock.

Rules and texts as tensorflow/serving `model_servers/server_core.cc`, `core/basic_manager.cc`,
`core/manager.h`, `model_servers/get_model_status_impl.cc`. Errors are `tf.errors.OpError`.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from . import config as model_config
from .servable import Servable
from .version import AVAILABLE, END, UNLOADING, Version


class Repository:
    """Nothing is served until `configure` said what, and a Manager loads it."""

    def __init__(self, *, labels_for_unavailable: bool = False) -> None:
        """`labels_for_unavailable`: a new label may name a version that is not loaded."""
        self._labels_for_unavailable = labels_for_unavailable
        self._labels: dict[str, dict[str, int]] = {}
        self.changed = threading.Condition()
        self.config: dict[str, Any] = {}  # name -> ModelConfig; replaced as a whole
        # name -> number -> version, after its end too: its last state can still be asked for.
        self.models: dict[str, dict[int, Version]] = {}

    def configure(self, config: Any) -> list[str]:
        """Replaces what is served by the ModelServerConfig; returns the names that are new."""
        model_config.check(config, self.config)
        models = {model.name: model for model in config.model_config_list.config}
        with self.changed:
            self._labels = {name: self._checked_labels(model) for name, model in models.items()}
            new = [name for name in models if name not in self.config]
            self.config = models
            self.changed.notify_all()
        return new

    def _checked_labels(self, model: Any) -> dict[str, int]:
        versions = self.models.get(model.name, {})
        labels = self._labels.get(model.name, {})
        for label, number in model.version_labels.items():
            available = number in versions and versions[number].state == AVAILABLE
            moved = labels.get(label, number) != number
            if not available and (moved or not self._labels_for_unavailable):
                raise tf.errors.FailedPreconditionError(
                    None,
                    None,
                    f"Request to assign label to version {number} of model {model.name}, "
                    "which is not currently available for inference",
                )
        return dict(model.version_labels)

    def wait_until_loaded(self, names: list[str], timeout_s: float | None) -> None:
        """Returns when each model has an available version; raises UNKNOWN when one has failed."""

        def settled(name: str) -> Version | None:
            versions = sorted(self.models.get(name, {}).values(), reverse=True)
            ready = (v for v in versions if v.wanted and v.state in (AVAILABLE, END))
            return next(ready, None)

        with self.changed:
            done = self.changed.wait_for(lambda: all(map(settled, names)), timeout_s)
            reached = [settled(name) for name in names]
        if not done:
            raise tf.errors.DeadlineExceededError(None, None, "Models are still being loaded")
        failed = [version for version in reached if version and version.state == END]
        if failed:
            raise tf.errors.UnknownError(
                None,
                None,
                f"{len(failed)} model(s) did not become available: {{"
                + "".join(f"{{{v} due to error: {v.status_text()}}}, " for v in failed)
                + "}",
            )

    @contextlib.contextmanager
    def acquire(self, spec: Any) -> Iterator[tuple[Version, Servable]]:
        """The version a ModelSpec means, kept loaded until the block ends."""
        with self.changed:
            version = self._find(spec)
            servable = version.servable
            assert servable is not None, "an available version has its servable"
            version.in_flight += 1
        try:
            yield version, servable
        finally:
            with self.changed:
                version.in_flight -= 1
                if version.state == UNLOADING and not version.in_flight:
                    self.changed.notify_all()

    def _find(self, spec: Any) -> Version:
        if not spec.name:
            raise tf.errors.InvalidArgumentError(None, None, "ModelSpec has no name specified.")
        versions = self.models.get(spec.name, {})
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            available = [v for v in versions.values() if v.state == AVAILABLE]
            if available:
                return max(available)
            asked = f"Latest({spec.name})"
        else:
            number = spec.version.value
            if choice == "version_label":
                label = spec.version_label
                if label not in self._labels.get(spec.name, {}):
                    raise tf.errors.InvalidArgumentError(
                        None, None, f"Unrecognized servable version label: {label}"
                    )
                number = self._labels[spec.name][label]
            if number in versions and versions[number].state == AVAILABLE:
                return versions[number]
            asked = f"Specific({spec.name}, {number})"
        raise tf.errors.NotFoundError(None, None, f"Servable not found for request: {asked}")

    def states(self, spec: Any) -> list[tuple[int, int, Any]]:
        """(version, state, StatusProto), newest first, of what a ModelSpec without label means."""
        with self.changed:
            versions = self.models.get(spec.name, {})
            if spec.HasField("version"):
                number = spec.version.value
                if number not in versions:
                    raise tf.errors.NotFoundError(
                        None, None, f"Could not find version {number} of model {spec.name}"
                    )
                versions = {number: versions[number]}
            elif not versions:
                raise tf.errors.NotFoundError(
                    None, None, f"Could not find any versions of model {spec.name}"
                )
            newest_first = sorted(versions.values(), reverse=True)
            return [(v.number, v.state, v.status) for v in newest_first]
